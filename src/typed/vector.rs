//! Loops compiled more than once, for the vector instructions that the processor turns out to have.
#![allow(unsafe_code, reason = "calls code that some processors cannot run, after asking")]

/// A loop over numbers, to be compiled for several generations of processors. See [`vectorised`].
pub trait Kernel {
    /// What comes out.
    type Output;

    /// The loop, in plain code. To be marked `#[inline(always)]`, and so should be what it calls:
    /// only what is compiled into [`vectorised`] is compiled for wider vectors.
    fn run(self) -> Self::Output;
}

/// Runs `kernel` as compiled for the widest vectors of this processor: AVX-512, AVX2 or, on other
/// processors than x86-64 too, what the program itself was compiled for. The result is the same.
///
/// Asking the processor takes about a nanosecond, and the call is not compiled into its caller: for
/// loops over some dozen numbers at least.
///
/// ```
/// struct Sum<'a>(&'a [f32]);
///
/// impl stillheap::Kernel for Sum<'_> {
///     type Output = f32;
///
///     #[inline(always)]
///     fn run(self) -> f32 {
///         self.0.as_chunks::<16>().0.iter().fold([0.0; 16], |sums, block| {
///             std::array::from_fn(|lane| sums[lane] + block[lane])
///         }).iter().sum()
///     }
/// }
/// assert_eq!(stillheap::vectorised(Sum(&[1.0; 64])), 64.0);
/// ```
#[inline]
pub fn vectorised<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
            // SAFETY: the processor has just been found to have these features.
            return unsafe { with_avx512(kernel) };
        }
        if has!("avx2") {
            // SAFETY: as above.
            return unsafe { with_avx2(kernel) };
        }
    }
    kernel.run()
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "avx2")]
fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Below<'a>(&'a [f64], f64);

    impl Kernel for Below<'_> {
        type Output = usize;

        #[inline(always)]
        fn run(self) -> usize {
            self.0.iter().map(|&number| usize::from(number < self.1)).sum()
        }
    }

    #[test]
    fn counts_the_same_however_it_is_compiled() {
        let numbers: Vec<f64> = (0..1000).map(|number| f64::from(number * 7919 % 1000)).collect();
        for limit in [0.0, 1.0, 499.5, 1000.0] {
            assert_eq!(vectorised(Below(&numbers, limit)), Below(&numbers, limit).run());
        }
    }
}
