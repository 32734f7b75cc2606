//! The runs that are measured. A process tells its parent lines `KIND WHO WHAT VALUE`: rates, and
//! checksums that must be the same for all.

use crate::amounts::NEIGHBOURS;
use crate::index::{Ask, Change, Home, Load};
use crate::place::Place;
use crate::reach::WANTED;
use crate::task::{Found, Step, Task};
use std::fmt::Display;
use std::hint::black_box;
use std::time::Instant;

/// What one of those that are measured tells.
#[derive(Clone, Copy)]
pub(crate) struct Teller(pub(crate) &'static str);

impl Teller {
    pub(crate) fn tell(self, kind: &str, what: &str, value: impl Display) {
        println!("{kind} {} {what} {value}", self.0);
    }

    fn tell_found(self, what: &str, found: Found) {
        self.tell("check", &format!("{what}.entries"), found.entries);
        self.tell("check", &format!("{what}.sum"), found.sum);
    }

    fn time<R>(self, what: &str, operations: usize, run: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = run();
        self.tell("rate", what, operations as f64 / start.elapsed().as_secs_f64());
        result
    }
}

/// Inserts all entries one by one. `false`: one was refused.
pub(crate) fn fill<P: Copy, T: Change<P, D>, const D: usize>(tree: &mut T, places: &[P]) -> bool {
    places.iter().zip(0..).all(|(&place, value)| tree.insert(place, value))
}

/// A tree that is built by inserting, asked, and changed.
pub(crate) fn inserted<P: Place<D>, T: Change<P, D>, const D: usize>(
    home: &mut impl Home<T>,
    task: &Task<P, D>,
    teller: Teller,
) {
    let start = Instant::now();
    if !home.write(|tree| fill(tree, &task.places)) {
        return teller.tell("note", "refused_an_entry", "it is left out");
    }
    teller.tell("rate", "insert", task.places.len() as f64 / start.elapsed().as_secs_f64());
    home.read(|tree| queries(tree, task, "", teller));
    home.write(|tree| {
        let moved = teller.time("move", task.moves.len(), || moves(tree, task));
        teller.tell("check", "move", moved);
        let (found, distances) = teller.time("mixed", task.steps.len(), || mixed(tree, task));
        teller.tell_found("mixed", found);
        teller.tell("sum", "mixed", distances);
        teller.tell("check", "len_after_mixed", tree.len());
        let removed = teller.time("remove", task.removals.len(), || {
            let removals = task.removals.iter();
            removals.filter(|&&(place, value)| tree.remove(place, value)).count()
        });
        teller.tell("check", "remove", removed);
        teller.tell("check", "len_after_remove", tree.len());
        // Freeing is not measured.
        *tree = T::default();
    });
}

/// A tree that is built at once, and asked.
pub(crate) fn packed<P: Place<D>, T: Load<P, D>, const D: usize>(
    home: &mut impl Home<T>,
    task: &Task<P, D>,
    teller: Teller,
) {
    let all = task.places.len();
    home.write(|tree| teller.time("bulk_load", all, || *tree = T::load(&task.places)));
    home.read(|tree| queries(tree, task, "packed_", teller));
    home.write(|tree| {
        *tree = T::default();
        let start = Instant::now();
        if let Some(loaded) = T::load_parallel(&task.places) {
            let rate = all as f64 / start.elapsed().as_secs_f64();
            teller.tell("rate", "bulk_load_parallel", rate);
            teller.tell("check", "bulk_load_parallel.len", loaded.len());
            let centres = task.centres(100);
            let found = windows(&loaded, &centres, task.reaches[2]);
            teller.tell_found("bulk_load_parallel.window_100", found);
        }
    });
}

fn queries<P: Place<D>, const D: usize>(
    tree: &impl Ask<D>,
    task: &Task<P, D>,
    prefix: &str,
    teller: Teller,
) {
    for (number, wanted) in WANTED.iter().enumerate() {
        let centres = task.centres(task.amounts.windows[number]);
        if centres.is_empty() {
            continue;
        }
        let reach = task.reaches[number];
        let name = format!("{prefix}window_{wanted}");
        let found = teller.time(&name, centres.len(), || windows(tree, &centres, reach));
        teller.tell_found(&name, found);
        teller.tell("hits", &name, found.entries as f64 / centres.len() as f64);
        if number + 1 == WANTED.len() {
            let name = format!("{prefix}count_{wanted}");
            let count = teller.time(&name, centres.len(), || {
                centres.iter().map(|centre| black_box(tree.count(centre, reach))).sum::<u64>()
            });
            teller.tell("check", &name, count);
        }
    }
    for (&count, &amount) in NEIGHBOURS.iter().zip(&task.amounts.nearest) {
        let places = task.near(amount);
        let name = format!("{prefix}nearest_{count}");
        let distances = teller.time(&name, places.len(), || {
            places.iter().map(|place| black_box(tree.nearest(place, count))).sum::<f64>()
        });
        teller.tell("sum", &name, distances);
    }
    teller.tell("check", &format!("{prefix}len"), tree.len());
}

fn windows<const D: usize>(tree: &impl Ask<D>, centres: &[[f64; D]], reach: f64) -> Found {
    let found = centres.iter().map(|centre| black_box(tree.window(centre, reach)));
    found.fold(Found::default(), Found::and)
}

/// How many entries were there.
fn moves<P: Copy, T: Change<P, D>, const D: usize>(tree: &mut T, task: &Task<P, D>) -> usize {
    let moves = task.moves.iter();
    moves.filter(|go| tree.relocate(go.from, go.value, go.to)).count()
}

fn mixed<P: Copy, T: Change<P, D>, const D: usize>(
    tree: &mut T,
    task: &Task<P, D>,
) -> (Found, f64) {
    let (mut found, mut distances) = (Found::default(), 0.0);
    for step in &task.steps {
        match step {
            Step::Window(centre) => found = found.and(tree.window(centre, task.reaches[1])),
            Step::Nearest(from) => distances += tree.nearest(from, 10),
            Step::Insert(place, value) => found.entries += u64::from(tree.insert(*place, *value)),
            Step::Remove(place, value) => found.entries += u64::from(tree.remove(*place, *value)),
        }
    }
    (found, distances)
}
