//! The numbers that coordinates can be: `f32` and `f64`.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Mul, Sub};

use crate::Lane;

/// A coordinate: `f32` or `f64`. Sealed, as [`Lane`] is.
pub trait Scalar:
    Lane
    + Default
    + fmt::Display
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + AddAssign
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Negative infinity.
    const NEG_INFINITY: Self;
    /// Not a number.
    const NAN: Self;
    /// The difference between 1 and the next greater number.
    const EPSILON: Self;

    /// The square root.
    #[must_use]
    fn sqrt(self) -> Self;

    /// The next greater number; infinity is its own.
    #[must_use]
    fn next_up(self) -> Self;

    /// The next lesser number; negative infinity is its own.
    #[must_use]
    fn next_down(self) -> Self;

    /// The total order of IEEE 754, which agrees with `<` on everything but NaN and the two zeros.
    fn total_cmp(&self, other: &Self) -> Ordering;

    /// The number as `f64`.
    fn to_f64(self) -> f64;

    /// The nearest number to an `f64`.
    #[must_use]
    fn from_f64(number: f64) -> Self;

    /// Whether this is not a number.
    #[inline]
    #[must_use]
    #[expect(clippy::eq_op, reason = "NaN is the one number that differs from itself")]
    fn is_nan(self) -> bool {
        self != self
    }

    /// The lesser of two numbers; `other` if either is NaN. One instruction, unlike `f64::min`.
    #[inline]
    #[must_use]
    fn least(self, other: Self) -> Self {
        if self < other { self } else { other }
    }

    /// The greater of two numbers; `other` if either is NaN. One instruction, unlike `f64::max`.
    #[inline]
    #[must_use]
    fn greatest(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
}

macro_rules! scalars {
    ($($float:ident)*) => {$(
        impl Scalar for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $float::INFINITY;
            const NEG_INFINITY: Self = $float::NEG_INFINITY;
            const NAN: Self = $float::NAN;
            const EPSILON: Self = $float::EPSILON;

            #[inline]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }

            #[inline]
            fn next_up(self) -> Self {
                $float::next_up(self)
            }

            #[inline]
            fn next_down(self) -> Self {
                $float::next_down(self)
            }

            #[inline]
            fn total_cmp(&self, other: &Self) -> Ordering {
                $float::total_cmp(self, other)
            }

            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline]
            #[allow(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
            fn from_f64(number: f64) -> Self {
                number as $float
            }
        }
    )*};
}
scalars! { f32 f64 }
