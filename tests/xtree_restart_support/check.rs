//! The tree against its list.

use super::{Beside, Random, rect, values};
use stillheap::{EuclideanSquared, Rect, Scalar, XTree};

impl<const D: usize, S: Scalar> Beside<D, S> {
    pub(crate) fn check_empty(&self) {
        self.tree.validate().expect("a sound tree");
        assert!(self.list.is_empty() && self.tree.is_empty() && self.tree.bounds().is_none());
        assert_eq!(self.tree.iter().count() + self.tree.stats().height(), 0);
    }

    fn expect<'a, I>(&'a self, found: I, wanted: impl Fn(&Rect<D, S>) -> bool)
    where
        I: Iterator<Item = (Rect<D, S>, &'a String)> + Clone,
    {
        let wanted = self.list.iter().filter(|(rect, _)| wanted(rect));
        let wanted = values(wanted);
        assert_eq!(found.clone().count(), wanted.len());
        let mut found: Vec<(Rect<D, S>, &str)> =
            found.map(|(rect, value)| (rect, value.as_str())).collect();
        found.sort_unstable_by_key(|entry| entry.1);
        assert_eq!(found, wanted);
    }

    /// The tree against the list: its soundness, and every kind of question.
    pub(crate) fn check(&self, random: &mut Random) {
        self.tree.validate().expect("a sound tree");
        assert_eq!((self.tree.len(), self.tree.iter().len()), (self.list.len(), self.list.len()));
        let bounds = self.list.iter().map(|entry| entry.0).reduce(|a, b| a.union(&b));
        assert_eq!(self.tree.bounds(), bounds);
        self.expect(self.tree.iter(), |_| true);
        for _ in 0..6 {
            let (window, large) = (rect(random), rect(random).union(&rect(random)));
            for window in [window, large] {
                self.expect(self.tree.window(&window), |rect| rect.intersects(&window));
                self.expect(self.tree.inside(&window), |rect| window.contains(rect));
                self.expect(self.tree.around(&window), |rect| rect.contains(&window));
            }
            let point = window.min();
            self.expect(self.tree.at(point), |rect| rect.contains(&point.into()));
            self.check_nearest(point);
        }
        for (rect, value) in self.list.iter().step_by(self.list.len() / 9 + 1) {
            self.expect(self.tree.exactly(rect), |other| other == rect);
            assert!(self.tree.contains(rect, value) && self.tree.get(rect).is_some());
            self.check_nearest(rect.max());
        }
        self.check_join();
    }

    fn check_nearest(&self, point: [S; D]) {
        let rank = |rect: &Rect<D, S>| rect.distance_squared(&point);
        let mut ranks: Vec<S> = self.list.iter().map(|(rect, _)| rank(rect)).collect();
        ranks.sort_unstable_by(Scalar::total_cmp);
        for count in [1, 20] {
            let near = self.tree.nearest(point, count);
            assert!(near.iter().map(|near| rank(&near.rect)).eq(ranks.iter().copied().take(count)));
            assert!(near.iter().all(|near| self.tree.contains(&near.rect, near.value)));
        }
        let lazy = self.tree.nearest_first_by(EuclideanSquared, point);
        assert!(lazy.map(|near| near.distance).eq(ranks.iter().copied()));
        if let Some(&limit) = ranks.get(ranks.len() / 20) {
            let within = self.tree.within_distance_by(EuclideanSquared, point, limit);
            self.expect(within, |rect| rank(rect) <= limit);
        }
        let none = self.tree.within_distance(point, S::ZERO - S::ONE);
        assert_eq!(none.count(), 0);
    }

    /// The tree with a part of itself.
    fn check_join(&self) {
        let part = self.list.iter().step_by(self.list.len() / 12 + 1);
        let part: XTree<D, String, S> = part.cloned().collect();
        for (meeting, distance) in [(true, S::ZERO), (false, S::from_f64(4.0))] {
            let join = if meeting {
                self.tree.join(&part)
            } else {
                self.tree.join_within(&part, distance)
            };
            let mut found: Vec<_> = join.map(|(a, b)| (a.1.as_str(), b.1.as_str())).collect();
            found.sort_unstable();
            let near = |a: &Rect<D, S>, b: &Rect<D, S>| apart(a, b) <= distance * distance;
            let pairs = self.list.iter().flat_map(|a| part.iter().map(move |b| (a, b)));
            let pairs = pairs.filter(|(a, b)| near(&a.0, &b.0));
            let mut pairs: Vec<_> = pairs.map(|(a, b)| (a.1.as_str(), b.1.as_str())).collect();
            pairs.sort_unstable();
            assert_eq!(found, pairs);
        }
    }
}

/// The square of the distance between two boxes.
fn apart<const D: usize, S: Scalar>(a: &Rect<D, S>, b: &Rect<D, S>) -> S {
    (0..D).fold(S::ZERO, |sum, axis| {
        let apart = (b.min()[axis] - a.max()[axis]).greatest(a.min()[axis] - b.max()[axis]);
        let apart = apart.greatest(S::ZERO);
        sum + apart * apart
    })
}
