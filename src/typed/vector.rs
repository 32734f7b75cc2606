//! Loops compiled more than once, for the vector instructions that the processor turns out to have.
//!
//! A [`Vectors`] value stands for a set of instructions, and exists only if the processor has them.
#![allow(unsafe_code, reason = "uses instructions that some processors do not have, after asking")]

use super::rows::Key;

/// Numbers that are compared at once.
pub const LANES: usize = 8;

/// A loop over numbers, to be compiled for several generations of processors. See [`vectorised`].
pub trait Kernel {
    /// What comes out.
    type Output;

    /// The loop, in plain code and with what `vectors` has. To be marked `#[inline(always)]`, and
    /// so should be what it calls: only what is compiled into [`vectorised`] is compiled for wider
    /// vectors.
    fn run(self, vectors: impl Vectors) -> Self::Output;
}

/// Comparisons of eight numbers with one, a bit of the answer for each. All are false for NaN.
pub trait Vectors: Copy {
    /// Which of the numbers are at most `bound`.
    fn at_most<F: Lane>(self, lanes: &[F; LANES], bound: F) -> u8;
    /// Which of the numbers are at least `bound`.
    fn at_least<F: Lane>(self, lanes: &[F; LANES], bound: F) -> u8;
}

/// Runs `kernel` as compiled for the widest vectors of this processor: AVX-512, AVX2 or, on other
/// processors than x86-64 too, what the program itself was compiled for. The result is the same.
///
/// The choice takes a nanosecond, and the kernel is not compiled into its caller: this is for loops
/// over some dozen numbers at least.
///
/// ```
/// use stillheap::typed::{Kernel, Vectors, vectorised};
///
/// /// How many of the numbers are at most so large?
/// struct Count<'a>(&'a [f32], f32);
///
/// impl Kernel for Count<'_> {
///     type Output = u32;
///
///     #[inline(always)]
///     fn run(self, vectors: impl Vectors) -> u32 {
///         let (blocks, rest) = self.0.as_chunks::<8>();
///         let in_rest = rest.iter().filter(|&&number| number <= self.1).count() as u32;
///         blocks.iter().fold(in_rest, |sum, block| {
///             sum + vectors.at_most(block, self.1).count_ones()
///         })
///     }
/// }
/// assert_eq!(vectorised(Count(&[1.0, 2.0, 3.0].repeat(10), 2.0)), 20);
/// ```
#[inline]
pub fn vectorised<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    return x86::run(kernel);
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    kernel.run(Plain)
}

/// Numbers that are compared by vectors: `f32` and `f64`. Sealed.
pub trait Lane: Key + lane::Compare {}

impl Lane for f32 {}
impl Lane for f64 {}

/// No more than what the program was compiled for.
#[cfg(any(test, not(all(target_arch = "x86_64", not(miri)))))]
#[derive(Clone, Copy)]
struct Plain;

#[cfg(any(test, not(all(target_arch = "x86_64", not(miri)))))]
impl Vectors for Plain {
    #[inline(always)]
    fn at_most<F: Lane>(self, lanes: &[F; LANES], bound: F) -> u8 {
        pack(lanes.map(|number| number <= bound))
    }

    #[inline(always)]
    fn at_least<F: Lane>(self, lanes: &[F; LANES], bound: F) -> u8 {
        pack(lanes.map(|number| number >= bound))
    }
}

/// Eight truths as eight bits: the product moves byte `i`'s lowest bit to bit `56 + i`.
#[cfg(any(test, not(all(target_arch = "x86_64", not(miri)))))]
#[inline(always)]
fn pack(passed: [bool; LANES]) -> u8 {
    let bits = u64::from_le_bytes(passed.map(u8::from)).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    bits.to_le_bytes()[0]
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod lane {
    pub trait Compare {}
    impl Compare for f32 {}
    impl Compare for f64 {}
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
use x86::lane;

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[path = "vector_x86.rs"]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;

    struct Compare<F>([F; LANES], F);

    impl<F: Lane> Kernel for Compare<F> {
        type Output = [u8; 2];

        #[inline(always)]
        fn run(self, vectors: impl Vectors) -> [u8; 2] {
            [vectors.at_most(&self.0, self.1), vectors.at_least(&self.0, self.1)]
        }
    }

    fn check<F: Lane + From<f32>>() {
        let numbers = [f32::NEG_INFINITY, -1.5, -0.0, 0.0, 1.0, 1.5, f32::INFINITY, f32::NAN];
        for (turn, bound) in numbers.into_iter().enumerate() {
            let mut lanes = numbers.map(F::from);
            lanes.rotate_left(turn);
            let expected = Compare(lanes, F::from(bound)).run(Plain);
            assert_eq!(vectorised(Compare(lanes, F::from(bound))), expected);
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            for found in x86::each(|| Compare(lanes, F::from(bound))) {
                assert_eq!(found, expected, "{lanes:?} {bound}");
            }
        }
    }

    #[test]
    fn compares_the_same_with_all_vectors() {
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn packs_lane_by_lane() {
        for byte in 0..=255_u8 {
            assert_eq!(pack(std::array::from_fn(|lane| byte >> lane & 1 == 1)), byte);
        }
    }
}
