//! A process that measures: one kind of data, one size, on one side. It is told what to do by its
//! arguments; the allocator, by an environment variable.

use crate::Error;
use crate::amounts::Amounts;
use crate::cell::Cell;
use crate::data::{self, Kind};
use crate::index::{Change, Kept, Load, Local};
use crate::kiddos::{Immutable, Mutable};
use crate::memory;
use crate::place::Place;
use crate::reach::{Reaches, WANTED};
use crate::rstars::Theirs;
use crate::run::{self, Teller};
use crate::switch::ALLOCATOR;
use crate::task::Task;
use std::panic::{self, AssertUnwindSafe};
use stillheap::{Heap, Options, XTree};

/// What a child measures, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Speed, outside of a heap.
    Outside,
    /// Speed, in a heap.
    Inside,
    /// Memory. Outside of a heap, in runs of its own: counting takes time.
    Memory,
}

impl Side {
    const ALL: [Self; 3] = [Self::Outside, Self::Inside, Self::Memory];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Inside => "inside",
            Self::Memory => "memory",
        }
    }
}

struct Order {
    side: Side,
    cell: Cell,
    round: usize,
    is_quick: bool,
    /// For the heap.
    folder: String,
    reaches: Reaches,
}

impl Order {
    fn from(arguments: &[String]) -> Result<Self, Error> {
        let [side, kind, size, dims, round, is_quick, folder, reaches @ ..] = arguments else {
            return Err("children are started by the bench alone".into());
        };
        let side = Side::ALL.into_iter().find(|known| known.name() == side);
        let reaches: Result<Vec<f64>, _> = reaches.iter().map(|reach| reach.parse()).collect();
        let reaches: [f64; WANTED.len()] =
            reaches?.try_into().map_err(|_| "not as many reaches as are wanted")?;
        Ok(Self {
            side: side.ok_or("no such side")?,
            cell: Cell {
                kind: Kind::named(kind).ok_or("no such data")?,
                size: size.parse()?,
                dims: dims.parse()?,
            },
            round: round.parse()?,
            is_quick: is_quick.parse()?,
            folder: folder.clone(),
            reaches,
        })
    }

    fn task<P: Place<D>, const D: usize>(&self, places: Vec<P>) -> Task<P, D> {
        let amounts = Amounts::of(self.cell.kind, D, places.len(), self.is_quick);
        Task::new(places, self.reaches, amounts)
    }
}

pub(crate) fn run(arguments: &[String]) -> Result<(), Error> {
    let order = Order::from(arguments)?;
    match (order.cell.kind, order.cell.dims) {
        (Kind::Boxes, 2) => boxes::<2>(&order),
        (_, 2) => points::<2>(&order),
        (_, 8) => points::<8>(&order),
        (_, 16) => points::<16>(&order),
        _ => Err("no such dimensions".into()),
    }
}

fn boxes<const D: usize>(order: &Order) -> Result<(), Error> {
    let task = order.task(data::boxes::<D>(order.cell.size));
    all_of(
        order,
        &task,
        &mut [
            &mut || both::<_, XTree<D, u64>, XTree<D, u64>, D>(order, &task, Teller("ours")),
            &mut || both::<_, Theirs<_, D>, Theirs<_, D>, D>(order, &task, Teller("rstar")),
        ],
    )
}

fn points<const D: usize>(order: &Order) -> Result<(), Error> {
    let task = order.task(data::points::<D>(order.cell.kind, order.cell.size)?);
    all_of(
        order,
        &task,
        &mut [
            &mut || both::<_, XTree<D, u64>, XTree<D, u64>, D>(order, &task, Teller("ours")),
            &mut || both::<_, Theirs<_, D>, Theirs<_, D>, D>(order, &task, Teller("rstar")),
            &mut || both::<_, Mutable<D>, Immutable<D>, D>(order, &task, Teller("kiddo")),
        ],
    )
}

/// All of them, outside of a heap, each once first as rounds go by; in a heap, the X-tree.
fn all_of<P: Place<D>, const D: usize>(
    order: &Order,
    task: &Task<P, D>,
    runs: &mut [&mut dyn FnMut()],
) -> Result<(), Error> {
    if order.side == Side::Inside {
        return in_heap(order, task);
    }
    let first = order.round % runs.len();
    runs.rotate_left(first);
    runs.iter_mut().for_each(|run| run());
    Ok(())
}

fn in_heap<P: Place<D>, const D: usize>(order: &Order, task: &Task<P, D>) -> Result<(), Error> {
    // Without options there are snapshots on demand and on closing alone. It is leaked, and never
    // closed.
    let heap = ALLOCATOR.heap().open(&order.folder, Options::new())?;
    let heap: &'static Heap = Box::leak(Box::new(heap));
    let mut home = Kept(heap.root::<XTree<D, u64>>("tree")?);
    run::inserted(&mut home, task, Teller("in_heap"));
    run::packed(&mut home, task, Teller("in_heap"));
    Ok(())
}

/// Both of somebody's trees: the one that changes, and the one that is built at once.
fn both<P: Place<D>, T: Change<P, D>, L: Load<P, D>, const D: usize>(
    order: &Order,
    task: &Task<P, D>,
    teller: Teller,
) {
    let measured = panic::catch_unwind(AssertUnwindSafe(|| match order.side {
        Side::Memory => memory::of_inserted::<P, T, D>(task, teller),
        _ => run::inserted(&mut Local::<T>::default(), task, teller),
    }));
    if measured.is_err() {
        teller.tell("note", "panicked", "what it has not measured by then is left out");
    }
    match order.side {
        Side::Memory => memory::of_packed::<P, L, D>(task, teller),
        _ => run::packed(&mut Local::<L>::default(), task, teller),
    }
}
