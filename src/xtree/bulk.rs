//! Building a tree from all of its entries at once.
//!
//! Top down, as in OMT (Lee, Lee: "OMT: Overlap Minimizing Top-down Bulk Loading Algorithm for
//! R-tree", CAiSE 2003): the height that is needed comes first, then each node's entries are dealt
//! out evenly to as few children as can hold them. As in the VAMSplit R-tree (White, Jain:
//! "Similarity Indexing: Algorithms and Performance", SPIE 1996) they are dealt by cutting them in
//! two again and again, each time across the axis on which they vary most, and nowhere but between
//! children. Cuts are independent of each other, so they are made by several threads.

use std::num::NonZeroUsize;
use std::thread;

use super::deal::{Dealer, Place};
use super::node::Node;
use super::rect::{Rect, RectError};
use super::scalar::Scalar;
use super::tree::XTree;
use super::tuning::{Rules, Tuning};

/// How a tree is built from all of its entries at once.
///
/// This takes a fraction of the time of inserting them, and makes fuller nodes that overlap less.
///
/// ```
/// use stillheap::{BulkLoad, XTree};
///
/// let points = (0..100_000_u32).map(|n| ([f64::from(n % 317), f64::from(n % 311)], n));
/// let tree: XTree<2, u32> = BulkLoad::new().fill(80).load_parallel(points)?;
/// assert_eq!(tree.len(), 100_000);
/// # Ok::<(), stillheap::RectError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BulkLoad {
    tuning: Tuning,
    fill: u8,
    threads: Option<NonZeroUsize>,
}

impl BulkLoad {
    /// Full nodes, the default parameters, and as many threads as there are processors.
    #[must_use]
    pub const fn new() -> Self {
        Self { tuning: Tuning::new(), fill: 100, threads: None }
    }

    /// The parameters of the tree.
    #[must_use]
    pub const fn tuning(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// How full nodes are made, in percent (50 to 100). Full ones are best for a tree that hardly
    /// changes; others leave room for insertions, which split full nodes.
    ///
    /// # Panics
    /// If `percent` is another number.
    #[must_use]
    pub const fn fill(self, percent: u8) -> Self {
        assert!(percent >= 50 && percent <= 100, "nodes are filled to 50 to 100 %");
        Self { fill: percent, ..self }
    }

    /// How many threads [`load_parallel`](Self::load_parallel) uses, the calling one included;
    /// fewer if the system gives no more.
    #[must_use]
    pub const fn threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// Builds the tree on the calling thread.
    ///
    /// # Errors
    /// [`RectError`] if a coordinate is NaN.
    pub fn load<const D: usize, T, S: Scalar, R: Into<Rect<D, S>>>(
        self,
        entries: impl IntoIterator<Item = (R, T)>,
    ) -> Result<XTree<D, T, S>, RectError> {
        Ok(self.serially(Entries::of(entries)?))
    }

    /// Builds the tree on several threads.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_parallel<const D: usize, T: Send, S: Scalar, R: Into<Rect<D, S>>>(
        self,
        entries: impl IntoIterator<Item = (R, T)>,
    ) -> Result<XTree<D, T, S>, RectError> {
        let entries = Entries::of(entries)?;
        if entries.len() < WORTH_A_THREAD {
            return Ok(self.serially(entries));
        }
        Ok(match entries {
            Entries::Points(entries) => self.on_threads(entries),
            Entries::Boxes(entries) => self.on_threads(entries),
        })
    }

    fn serially<const D: usize, T, S: Scalar>(self, entries: Entries<D, T, S>) -> XTree<D, T, S> {
        match entries {
            Entries::Points(entries) => self.on_one_thread(entries),
            Entries::Boxes(entries) => self.on_one_thread(entries),
        }
    }

    fn on_one_thread<const D: usize, T, S: Scalar, P: Place<D, S>>(
        self,
        mut entries: Vec<(P, T)>,
    ) -> XTree<D, T, S> {
        let rules = Rules::of::<D, T, S>(self.tuning);
        let len = entries.len();
        if len == 0 {
            return XTree::with_tuning(self.tuning);
        }
        let dealer = Dealer::new::<D, S, P>(&rules.sizes, self.fill, len);
        let mut axes = vec![0; len];
        let mut root = Vec::with_capacity(1);
        dealer.arrange(&mut entries, &mut axes, 1, dealer.height());
        let all = (1, dealer.height());
        dealer.assemble(&mut entries.into_iter(), &axes, all, 0, &mut root);
        grown(root, dealer.height(), len, rules)
    }

    fn on_threads<const D: usize, T: Send, S: Scalar, P: Place<D, S>>(
        self,
        mut entries: Vec<(P, T)>,
    ) -> XTree<D, T, S> {
        let rules = Rules::of::<D, T, S>(self.tuning);
        let len = entries.len();
        let dealer = Dealer::new::<D, S, P>(&rules.sizes, self.fill, len);
        let threads = self.threads.or_else(|| thread::available_parallelism().ok());
        let threads = threads.map_or(1, NonZeroUsize::get);
        let mut axes = vec![0; len];
        dealer.arrange_on(threads, &mut entries, &mut axes, 1, dealer.height());
        let root = dealer.assemble_on(threads, entries, &axes, (1, dealer.height()), 0);
        grown(root, dealer.height(), len, rules)
    }
}

fn grown<const D: usize, T, S: Scalar>(
    mut root: Vec<Node<T, S>>,
    height: usize,
    len: usize,
    rules: Rules,
) -> XTree<D, T, S> {
    let height = u32::try_from(height).expect("a tree has fewer levels than a number has bits");
    XTree { root: root.pop(), height, len, rules }
}

impl Default for BulkLoad {
    fn default() -> Self {
        Self::new()
    }
}

/// Entries below which a thread costs more than it gains.
const WORTH_A_THREAD: usize = 20_000;

/// Entries, in half of the memory if they are all points.
enum Entries<const D: usize, T, S> {
    Points(Vec<([S; D], T)>),
    Boxes(Vec<(Rect<D, S>, T)>),
}

impl<const D: usize, T, S: Scalar> Entries<D, T, S> {
    fn of<R: Into<Rect<D, S>>>(
        entries: impl IntoIterator<Item = (R, T)>,
    ) -> Result<Self, RectError> {
        let mut entries = entries.into_iter();
        let mut points = Vec::with_capacity(entries.size_hint().0);
        for (at, value) in entries.by_ref() {
            let rect = at.into();
            rect.check()?;
            if rect.is_point() {
                points.push((rect.min(), value));
                continue;
            }
            let mut boxes = Vec::with_capacity(points.len() + 1 + entries.size_hint().0);
            boxes.extend(points.into_iter().map(|(point, value)| (Rect::from(point), value)));
            boxes.push((rect, value));
            for (at, value) in entries {
                let rect = at.into();
                rect.check()?;
                boxes.push((rect, value));
            }
            return Ok(Self::Boxes(boxes));
        }
        Ok(Self::Points(points))
    }

    fn len(&self) -> usize {
        match self {
            Self::Points(entries) => entries.len(),
            Self::Boxes(entries) => entries.len(),
        }
    }
}
