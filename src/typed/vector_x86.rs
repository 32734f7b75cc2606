//! The vectors of x86-64: SSE2, which all have, AVX2 and AVX-512.
#![allow(unsafe_code, reason = "see the parent")]

use std::arch::is_x86_feature_detected as has;
use std::arch::x86_64::*;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::{Kernel, LANES, Lane, Vectors};

/// What the processor has, once somebody asked; 0 before.
static LEVEL: AtomicU8 = AtomicU8::new(0);

const SSE2: u8 = 1;
const AVX2: u8 = 2;
const AVX512: u8 = 3;

#[inline]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    match LEVEL.load(Relaxed) {
        // SAFETY: the level says that the processor has these.
        AVX512 => unsafe { with_avx512(kernel) },
        // SAFETY: as above.
        AVX2 => unsafe { with_avx2(kernel) },
        SSE2 => kernel.run(Sse2),
        _ => first(kernel),
    }
}

#[cold]
fn first<K: Kernel>(kernel: K) -> K::Output {
    LEVEL.store(level(), Relaxed);
    run(kernel)
}

fn level() -> u8 {
    let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    match has!("avx2") {
        true if avx512 => AVX512,
        true => AVX2,
        false => SSE2,
    }
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

#[target_feature(enable = "avx2")]
fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

#[derive(Clone, Copy)]
struct Sse2;

/// Made only where the processor has AVX2.
#[derive(Clone, Copy)]
struct Avx2(());

/// Made only where the processor has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
struct Avx512(());

macro_rules! vectors {
    ($($vectors:ident $at_most:ident $at_least:ident)*) => {$(
        impl Vectors for $vectors {
            #[inline(always)]
            fn at_most<F: Lane>(self, lanes: &[F; LANES], bound: F) -> u8 {
                // SAFETY: `self` exists, so the processor has these vectors.
                unsafe { F::$at_most(lanes, bound) }
            }

            #[inline(always)]
            fn at_least<F: Lane>(self, lanes: &[F; LANES], bound: F) -> u8 {
                // SAFETY: as above.
                unsafe { F::$at_least(lanes, bound) }
            }
        }
    )*};
}
vectors! {
    Sse2 sse2_at_most sse2_at_least
    Avx2 avx2_at_most avx2_at_least
    Avx512 avx512_at_most avx512_at_least
}

pub(super) mod lane {
    use super::LANES;

    /// Comparisons by the vectors in their names.
    ///
    /// # Safety
    /// All: the processor has them.
    #[allow(clippy::missing_safety_doc, reason = "the trait has it for all of them")]
    pub trait Compare: Sized {
        unsafe fn sse2_at_most(lanes: &[Self; LANES], bound: Self) -> u8;
        unsafe fn sse2_at_least(lanes: &[Self; LANES], bound: Self) -> u8;
        unsafe fn avx2_at_most(lanes: &[Self; LANES], bound: Self) -> u8;
        unsafe fn avx2_at_least(lanes: &[Self; LANES], bound: Self) -> u8;
        unsafe fn avx512_at_most(lanes: &[Self; LANES], bound: Self) -> u8;
        unsafe fn avx512_at_least(lanes: &[Self; LANES], bound: Self) -> u8;
    }
}

macro_rules! compare {
    ($float:ident: $($method:ident = $with:ident::<$order:ident>;)*) => {
        impl lane::Compare for $float {$(
            #[inline(always)]
            unsafe fn $method(lanes: &[Self; LANES], bound: Self) -> u8 {
                // SAFETY: the processor has these vectors, says the caller.
                unsafe { $with::<$order>(lanes, bound) }
            }
        )*}
    };
}

const LE: i32 = _CMP_LE_OQ;
const GE: i32 = _CMP_GE_OQ;

compare! { f64:
    sse2_at_most = sse2_f64::<LE>;
    sse2_at_least = sse2_f64::<GE>;
    avx2_at_most = avx2_f64::<LE>;
    avx2_at_least = avx2_f64::<GE>;
    avx512_at_most = avx512_f64::<LE>;
    avx512_at_least = avx512_f64::<GE>;
}
compare! { f32:
    sse2_at_most = sse2_f32::<LE>;
    sse2_at_least = sse2_f32::<GE>;
    avx2_at_most = avx2_f32::<LE>;
    avx2_at_least = avx2_f32::<GE>;
    avx512_at_most = avx512_f32::<LE>;
    avx512_at_least = avx512_f32::<GE>;
}

#[inline]
#[target_feature(enable = "sse2")]
fn sse2_f64<const ORDER: i32>(lanes: &[f64; LANES], bound: f64) -> u8 {
    let bound = _mm_set1_pd(bound);
    let mut bits = 0;
    for (part, lanes) in lanes.as_chunks::<2>().0.iter().enumerate() {
        // SAFETY: two numbers lie there; the load needs no alignment.
        let lanes = unsafe { _mm_loadu_pd(lanes.as_ptr()) };
        let passed =
            if ORDER == LE { _mm_cmple_pd(lanes, bound) } else { _mm_cmpge_pd(lanes, bound) };
        bits |= _mm_movemask_pd(passed) << (2 * part);
    }
    low(bits)
}

#[inline]
#[target_feature(enable = "sse2")]
fn sse2_f32<const ORDER: i32>(lanes: &[f32; LANES], bound: f32) -> u8 {
    let bound = _mm_set1_ps(bound);
    let mut bits = 0;
    for (part, lanes) in lanes.as_chunks::<4>().0.iter().enumerate() {
        // SAFETY: four numbers lie there; the load needs no alignment.
        let lanes = unsafe { _mm_loadu_ps(lanes.as_ptr()) };
        let passed =
            if ORDER == LE { _mm_cmple_ps(lanes, bound) } else { _mm_cmpge_ps(lanes, bound) };
        bits |= _mm_movemask_ps(passed) << (4 * part);
    }
    low(bits)
}

#[inline]
#[target_feature(enable = "avx2")]
fn avx2_f64<const ORDER: i32>(lanes: &[f64; LANES], bound: f64) -> u8 {
    let bound = _mm256_set1_pd(bound);
    let mut bits = 0;
    for (part, lanes) in lanes.as_chunks::<4>().0.iter().enumerate() {
        // SAFETY: four numbers lie there; the load needs no alignment.
        let lanes = unsafe { _mm256_loadu_pd(lanes.as_ptr()) };
        bits |= _mm256_movemask_pd(_mm256_cmp_pd::<ORDER>(lanes, bound)) << (4 * part);
    }
    low(bits)
}

#[inline]
#[target_feature(enable = "avx2")]
fn avx2_f32<const ORDER: i32>(lanes: &[f32; LANES], bound: f32) -> u8 {
    // SAFETY: eight numbers lie there; the load needs no alignment.
    let lanes = unsafe { _mm256_loadu_ps(lanes.as_ptr()) };
    low(_mm256_movemask_ps(_mm256_cmp_ps::<ORDER>(lanes, _mm256_set1_ps(bound))))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn avx512_f64<const ORDER: i32>(lanes: &[f64; LANES], bound: f64) -> u8 {
    // SAFETY: eight numbers lie there; the load needs no alignment.
    let lanes = unsafe { _mm512_loadu_pd(lanes.as_ptr()) };
    _mm512_cmp_pd_mask::<ORDER>(lanes, _mm512_set1_pd(bound))
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn avx512_f32<const ORDER: i32>(lanes: &[f32; LANES], bound: f32) -> u8 {
    // SAFETY: eight numbers lie there; the load needs no alignment.
    let lanes = unsafe { _mm256_loadu_ps(lanes.as_ptr()) };
    _mm256_cmp_ps_mask::<ORDER>(lanes, _mm256_set1_ps(bound))
}

/// The bits of eight lanes.
#[inline(always)]
fn low(bits: i32) -> u8 {
    bits.to_le_bytes()[0]
}

/// The kernel with each of the vectors that this processor has.
#[cfg(test)]
pub(super) fn each<K: Kernel>(kernel: impl Fn() -> K) -> Vec<K::Output> {
    let mut found = vec![kernel().run(Sse2)];
    if level() >= AVX2 {
        // SAFETY: the processor has these.
        found.push(unsafe { with_avx2(kernel()) });
    }
    if level() >= AVX512 {
        // SAFETY: as above.
        found.push(unsafe { with_avx512(kernel()) });
    }
    found
}
