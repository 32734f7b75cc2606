//! What can be asked of an [`XTree`].

use super::filter::{Around, Exactly, Inside, Meeting, WithinDistance};
use super::join::Join;
use super::metric::{Euclidean, Metric};
use super::nearest::{self, Neighbour};
use super::nearest_first::NearestFirst;
use super::node::bounds;
use super::rect::Rect;
use super::scalar::Scalar;
use super::search::{Iter, Search};
use super::tree::XTree;

impl<const D: usize, T, S: Scalar> XTree<D, T, S> {
    /// The entries whose boxes meet `window`; touching is enough.
    #[must_use]
    pub fn window(&self, window: &Rect<D, S>) -> Search<'_, D, T, S, Meeting<D, S>> {
        Search::new(self.root.as_ref(), Meeting(*window))
    }

    /// The entries whose boxes lie within `window`; sharing faces is allowed.
    #[must_use]
    pub fn inside(&self, window: &Rect<D, S>) -> Search<'_, D, T, S, Inside<D, S>> {
        Search::new(self.root.as_ref(), Inside(*window))
    }

    /// The entries whose boxes contain `rect`; sharing faces is allowed.
    #[must_use]
    pub fn around(&self, rect: &Rect<D, S>) -> Search<'_, D, T, S, Around<D, S>> {
        Search::new(self.root.as_ref(), Around(*rect))
    }

    /// The entries whose boxes contain `point`: those at the point, for entries that are points.
    #[must_use]
    pub fn at(&self, point: [S; D]) -> Search<'_, D, T, S, Around<D, S>> {
        self.around(&point.into())
    }

    /// The entries with exactly the box `rect`.
    #[must_use]
    pub fn exactly(&self, rect: &Rect<D, S>) -> Search<'_, D, T, S, Exactly<D, S>> {
        Search::new(self.root.as_ref(), Exactly(*rect))
    }

    /// The value of an entry with exactly the box `rect`; of several, of any.
    #[must_use]
    pub fn get(&self, rect: &Rect<D, S>) -> Option<&T> {
        self.exactly(rect).next().map(|(_, value)| value)
    }

    /// Whether there is an entry with exactly the box `rect` and the value `value`.
    #[must_use]
    pub fn contains(&self, rect: &Rect<D, S>, value: &T) -> bool
    where
        T: PartialEq,
    {
        self.exactly(rect).any(|(_, other)| other == value)
    }

    /// The entries within the Euclidean distance `distance` of `point`: those whose distance, as
    /// [`nearest`](Self::nearest) tells it, is at most that; none if either is NaN.
    #[must_use]
    pub fn within_distance(
        &self,
        point: [S; D],
        distance: S,
    ) -> Search<'_, D, T, S, WithinDistance<Euclidean, [S; D], S>> {
        self.within_distance_by(Euclidean, point, distance)
    }

    /// As [`within_distance`](Self::within_distance), by another metric and in its unit.
    #[must_use]
    pub fn within_distance_by<M: Metric<D, S> + Clone>(
        &self,
        metric: M,
        point: [S; D],
        distance: S,
    ) -> Search<'_, D, T, S, WithinDistance<M, M::Origin, S>> {
        let is_number = !distance.is_nan() && !point.iter().any(|at| at.is_nan());
        let root = self.root.as_ref().filter(|_| is_number);
        let (from, limit) = (metric.prepare(point), metric.rank_of(distance));
        Search::new(root, WithinDistance { metric, from, limit })
    }

    /// The `count` entries nearest to `point` by Euclidean distance, nearest first.
    ///
    /// All of them if the tree has fewer; none if the point holds NaN. The order among equals is
    /// arbitrary.
    #[must_use]
    pub fn nearest(&self, point: [S; D], count: usize) -> Vec<Neighbour<'_, D, T, S>> {
        self.nearest_by(Euclidean, point, count)
    }

    /// As [`nearest`](Self::nearest), by another metric.
    #[must_use]
    pub fn nearest_by<M: Metric<D, S>>(
        &self,
        metric: M,
        point: [S; D],
        count: usize,
    ) -> Vec<Neighbour<'_, D, T, S>> {
        let mut found = Vec::with_capacity(count.min(self.len));
        self.nearest_each(metric, point, count, |near| found.push(near));
        found
    }

    /// As [`nearest_by`](Self::nearest_by), but hands the entries to `each`, nearest first. For up
    /// to 64 of them nothing is allocated, as a rule.
    pub fn nearest_each<'a, M: Metric<D, S>>(
        &'a self,
        metric: M,
        point: [S; D],
        count: usize,
        each: impl FnMut(Neighbour<'a, D, T, S>),
    ) {
        if let Some(root) = &self.root
            && !point.iter().any(|at| at.is_nan())
        {
            let count = count.min(self.len);
            nearest::nearest(root, &metric, &metric.prepare(point), count, each);
        }
    }

    /// All entries, nearest to `point` first, found as they are asked for; none if the point holds
    /// NaN.
    #[must_use]
    pub fn nearest_first(&self, point: [S; D]) -> NearestFirst<'_, D, T, S> {
        self.nearest_first_by(Euclidean, point)
    }

    /// As [`nearest_first`](Self::nearest_first), by another metric.
    #[must_use]
    pub fn nearest_first_by<M: Metric<D, S>>(
        &self,
        metric: M,
        point: [S; D],
    ) -> NearestFirst<'_, D, T, S, M> {
        NearestFirst::new(self.root.as_ref(), metric, point)
    }

    /// The pairs of an entry of this tree and one of `other` whose boxes meet; touching is enough.
    #[must_use]
    pub fn join<'a, U>(&'a self, other: &'a XTree<D, U, S>) -> Join<'a, D, T, U, S> {
        Join::new(self.root.as_ref(), other.root.as_ref(), None)
    }

    /// The pairs of an entry of this tree and one of `other` whose boxes are not farther apart than
    /// the Euclidean distance `distance`; none if it is NaN or negative. [`Euclidean`] says for
    /// which coordinates that is good.
    #[must_use]
    pub fn join_within<'a, U>(
        &'a self,
        other: &'a XTree<D, U, S>,
        distance: S,
    ) -> Join<'a, D, T, U, S> {
        let root = self.root.as_ref().filter(|_| distance >= S::ZERO);
        Join::new(root, other.root.as_ref(), Some(distance))
    }

    /// All entries, in no particular order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, D, T, S> {
        Iter::new(self.root.as_ref(), self.len)
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The least box around all entries; `None` if there are none.
    #[must_use]
    pub fn bounds(&self) -> Option<Rect<D, S>> {
        self.root.as_ref().map(bounds)
    }
}
