//! What is nearest next: a binary heap that lies in place as long as it is small.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::scalar::Scalar;

/// Places that need no allocation: a search for some ten entries queues fewer nodes.
const IN_PLACE: usize = 32;

/// Things by rank, the lowest first.
#[derive(Clone, Debug)]
pub(super) struct Queue<S: Scalar, W> {
    /// A binary heap: nothing ranks below its parent, `(place - 1) / 2`.
    heap: SmallVec<[Ranked<S, W>; IN_PLACE]>,
}

/// Something of a rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked<S, W> {
    pub(super) rank: S,
    pub(super) what: W,
}

impl<S: Scalar, W: Copy> Queue<S, W> {
    pub(super) fn new() -> Self {
        Self { heap: SmallVec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    #[inline]
    pub(super) fn push(&mut self, rank: S, what: W) {
        let item = Ranked { rank, what };
        self.heap.push(item);
        let heap = self.heap.as_mut_slice();
        let mut place = heap.len() - 1;
        while place > 0 {
            let parent = (place - 1) / 2;
            if heap[parent].rank <= item.rank {
                break;
            }
            heap[place] = heap[parent];
            place = parent;
        }
        heap[place] = item;
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Ranked<S, W>> {
        let last = self.heap.pop()?;
        let heap = self.heap.as_mut_slice();
        let Some(&first) = heap.first() else { return Some(last) };
        let mut place = 0;
        loop {
            let mut child = 2 * place + 1;
            if child + 1 < heap.len() && heap[child + 1].rank < heap[child].rank {
                child += 1;
            }
            if child >= heap.len() || last.rank <= heap[child].rank {
                break;
            }
            heap[place] = heap[child];
            place = child;
        }
        heap[place] = last;
        Some(first)
    }
}

/// By rank alone.
impl<S: Scalar, W> Ord for Ranked<S, W> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.total_cmp(&other.rank)
    }
}

impl<S: Scalar, W> PartialOrd for Ranked<S, W> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S: Scalar, W> PartialEq for Ranked<S, W> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<S: Scalar, W> Eq for Ranked<S, W> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_lowest_first() {
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        for len in [0, 1, 2, 5, 31, 32, 33, 400] {
            let mut queue = Queue::new();
            let mut expected = Vec::new();
            for number in 0..len {
                let rank = f64::from(random() % 50);
                queue.push(rank, number);
                expected.push(rank);
                if number % 3 == 2 {
                    expected.sort_unstable_by(f64::total_cmp);
                    assert_eq!(queue.pop().unwrap().rank, expected.remove(0));
                }
            }
            expected.sort_unstable_by(f64::total_cmp);
            let found: Vec<f64> =
                std::iter::from_fn(|| queue.pop()).map(|item| item.rank).collect();
            assert_eq!(found, expected);
        }
    }
}
