//! Boxes with sides parallel to the axes, and their measures.

use super::metric::axis_distance;
use super::scalar::Scalar;
use crate::Durable;

/// A box in `D` dimensions, its faces included; a point is a box whose corners are equal.
///
/// Coordinates may be infinite. NaN and inverted boxes are refused by [`Rect::new`]; a point made
/// with
/// `From` may hold NaN, and is then refused by the tree.
#[derive(Clone, Copy, PartialEq, Debug, Durable)]
#[durable(crate = "crate", name = "stillheap::Rect")]
pub struct Rect<const D: usize, S = f64> {
    min: [S; D],
    max: [S; D],
}

/// Why a box was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RectError {
    /// A coordinate is not a number.
    #[error(
        "coordinate {axis} of the box is NaN; give a number, or an infinity where there is no limit"
    )]
    NotANumber {
        /// The axis, from 0.
        axis: usize,
    },
    /// The least corner is beyond the greatest.
    #[error("the box is inverted on axis {axis}: its min is above its max; swap the two")]
    Inverted {
        /// The axis, from 0.
        axis: usize,
    },
}

impl<const D: usize, S: Scalar> Rect<D, S> {
    /// The box from corner `min` to corner `max`, both included.
    ///
    /// # Errors
    /// [`RectError`] if a coordinate is NaN, or `min` is above `max` on some axis.
    pub fn new(min: [S; D], max: [S; D]) -> Result<Self, RectError> {
        let rect = Self { min, max };
        rect.check()?;
        Ok(rect)
    }

    /// The least corner.
    #[inline]
    #[must_use]
    pub fn min(&self) -> [S; D] {
        self.min
    }

    /// The greatest corner.
    #[inline]
    #[must_use]
    pub fn max(&self) -> [S; D] {
        self.max
    }

    /// Whether the corners are equal.
    #[inline]
    #[must_use]
    pub fn is_point(&self) -> bool {
        self.min == self.max
    }

    /// Whether the two boxes have a point in common; touching is enough.
    #[inline]
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        (0..D).all(|axis| self.min[axis] <= other.max[axis] && other.min[axis] <= self.max[axis])
    }

    /// Whether `other` lies within this box; sharing faces is allowed.
    #[inline]
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        (0..D).all(|axis| self.min[axis] <= other.min[axis] && other.max[axis] <= self.max[axis])
    }

    /// The least box around both.
    #[inline]
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            min: std::array::from_fn(|axis| self.min[axis].least(other.min[axis])),
            max: std::array::from_fn(|axis| self.max[axis].greatest(other.max[axis])),
        }
    }

    /// The squared Euclidean distance from `point` to the nearest point of the box; 0 within it.
    #[inline]
    #[must_use]
    pub fn distance_squared(&self, point: &[S; D]) -> S {
        let mut sum = S::ZERO;
        for (axis, &at) in point.iter().enumerate() {
            let outside = axis_distance(self.min[axis], self.max[axis], at);
            sum += outside * outside;
        }
        sum
    }

    pub(super) fn check(&self) -> Result<(), RectError> {
        for axis in 0..D {
            if self.min[axis].is_nan() || self.max[axis].is_nan() {
                return Err(RectError::NotANumber { axis });
            }
            if self.min[axis] > self.max[axis] {
                return Err(RectError::Inverted { axis });
            }
        }
        Ok(())
    }

    /// A box that holds nothing and is neutral to `union`.
    pub(super) const EMPTY: Self = Self { min: [S::INFINITY; D], max: [S::NEG_INFINITY; D] };

    /// A box whose corners are known to be in order.
    #[inline]
    pub(super) fn from_corners(min: [S; D], max: [S; D]) -> Self {
        Self { min, max }
    }

    /// The box around the points of either that lie in both; inverted if there are none.
    #[inline]
    pub(super) fn intersection(&self, other: &Self) -> Self {
        Self {
            min: std::array::from_fn(|axis| self.min[axis].greatest(other.min[axis])),
            max: std::array::from_fn(|axis| self.max[axis].least(other.max[axis])),
        }
    }

    /// The product of the sides, inverted ones counted as 0.
    #[inline]
    pub(super) fn area(&self) -> S {
        (0..D).fold(S::ONE, |area, axis| area * (self.max[axis] - self.min[axis]).greatest(S::ZERO))
    }

    /// The sum of the sides.
    #[inline]
    pub(super) fn margin(&self) -> S {
        (0..D).fold(S::ZERO, |sum, axis| sum + (self.max[axis] - self.min[axis]).greatest(S::ZERO))
    }
}

impl<const D: usize, S> From<[S; D]> for Rect<D, S>
where
    S: Copy,
{
    fn from(point: [S; D]) -> Self {
        Self { min: point, max: point }
    }
}

impl<const D: usize, S: Scalar> TryFrom<([S; D], [S; D])> for Rect<D, S> {
    type Error = RectError;

    fn try_from((min, max): ([S; D], [S; D])) -> Result<Self, RectError> {
        Self::new(min, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_nan_and_inverted_boxes() {
        assert_eq!(Rect::new([0.0, f64::NAN], [1.0; 2]), Err(RectError::NotANumber { axis: 1 }));
        assert_eq!(Rect::new([0.0], [f32::NAN]), Err(RectError::NotANumber { axis: 0 }));
        assert_eq!(Rect::new([0.0, 2.0], [1.0; 2]), Err(RectError::Inverted { axis: 1 }));
        assert!(Rect::try_from(([f64::NEG_INFINITY; 2], [f64::INFINITY; 2])).is_ok());
    }

    #[test]
    fn measures() {
        let rect = Rect::new([0.0, 0.0], [2.0, 3.0]).unwrap();
        let apart = Rect::new([5.0, 7.0], [6.0, 8.0]).unwrap();
        assert_eq!((rect.area(), rect.margin()), (6.0, 5.0));
        assert_eq!(rect.intersection(&apart).area(), 0.0);
        assert_eq!(rect.union(&apart), Rect::new([0.0; 2], [6.0, 8.0]).unwrap());
        assert_eq!(rect.distance_squared(&[5.0, 7.0]), 25.0);
        assert_eq!(rect.distance_squared(&[1.0, 1.0]), 0.0);
        assert!(rect.intersects(&Rect::from([2.0, 3.0])) && rect.contains(&Rect::from([2.0, 3.0])));
        assert!(!rect.intersects(&apart) && !rect.contains(&apart));
    }

    #[test]
    fn infinities_have_distances() {
        let all = Rect::new([f64::NEG_INFINITY], [f64::INFINITY]).unwrap();
        assert_eq!(all.distance_squared(&[1.0]), 0.0);
        assert_eq!(all.distance_squared(&[f64::INFINITY]), 0.0);
        assert_eq!(Rect::from([f64::INFINITY]).distance_squared(&[1.0]), f64::INFINITY);
        assert_eq!(Rect::from([f64::INFINITY]).distance_squared(&[f64::INFINITY]), 0.0);
    }
}
