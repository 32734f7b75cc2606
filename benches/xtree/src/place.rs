//! Where entries lie: at points, or in boxes.

use rstar::primitives::Rectangle;
use rstar::{AABB, PointDistance, RTreeObject};
use stillheap::Rect;

/// A point or a box, for the X-tree and for rstar.
pub(crate) trait Place<const D: usize>:
    Copy + Into<Rect<D>> + Send + Sync + 'static
{
    /// The same for rstar.
    type Geometry: RTreeObject<Envelope = AABB<[f64; D]>> + PointDistance + PartialEq;

    fn geometry(self) -> Self::Geometry;

    fn moved(self, by: [f64; D]) -> Self;

    /// Half the side of the least cube around `from` that meets it.
    fn reach_from(&self, from: &[f64; D]) -> f64;

    fn centre(&self) -> [f64; D];
}

impl<const D: usize> Place<D> for [f64; D] {
    type Geometry = Self;

    fn geometry(self) -> Self {
        self
    }

    fn moved(self, by: [f64; D]) -> Self {
        sum(self, by)
    }

    fn reach_from(&self, from: &[f64; D]) -> f64 {
        (0..D).fold(0.0, |reach, axis| reach.max((self[axis] - from[axis]).abs()))
    }

    fn centre(&self) -> [f64; D] {
        *self
    }
}

impl<const D: usize> Place<D> for Rect<D> {
    type Geometry = Rectangle<[f64; D]>;

    fn geometry(self) -> Self::Geometry {
        Rectangle::from_corners(self.min(), self.max())
    }

    fn moved(self, by: [f64; D]) -> Self {
        Self::new(sum(self.min(), by), sum(self.max(), by)).expect("both corners move alike")
    }

    fn reach_from(&self, from: &[f64; D]) -> f64 {
        let (min, max) = (self.min(), self.max());
        let outside = |axis: usize| (min[axis] - from[axis]).max(from[axis] - max[axis]);
        (0..D).fold(0.0, |reach, axis| reach.max(outside(axis)))
    }

    fn centre(&self) -> [f64; D] {
        let (min, max) = (self.min(), self.max());
        std::array::from_fn(|axis| f64::midpoint(min[axis], max[axis]))
    }
}

fn sum<const D: usize>(a: [f64; D], b: [f64; D]) -> [f64; D] {
    std::array::from_fn(|axis| a[axis] + b[axis])
}
