//! How much memory the trees take.

use crate::index::{Ask, Change, Load};
use crate::run::{Teller, fill};
use crate::switch::ALLOCATOR;
use crate::task::Task;

/// Of a tree that is built by inserting.
pub(crate) fn of_inserted<P: Copy, T: Change<P, D>, const D: usize>(
    task: &Task<P, D>,
    teller: Teller,
) {
    of("", teller, || {
        let mut tree = T::default();
        fill(&mut tree, &task.places).then_some(tree)
    });
}

/// Of a tree that is built at once.
pub(crate) fn of_packed<P, T: Load<P, D>, const D: usize>(task: &Task<P, D>, teller: Teller) {
    of("packed_", teller, || Some(T::load(&task.places)));
}

fn of<T: Ask<D>, const D: usize>(prefix: &str, teller: Teller, build: impl FnOnce() -> Option<T>) {
    let before = ALLOCATOR.live();
    let Some(tree) = build() else { return };
    let after = ALLOCATOR.live();
    let tell = |what: &str, bytes: usize| {
        let each = bytes as f64 / tree.len() as f64;
        teller.tell("bytes", &format!("{prefix}{what}_per_entry"), each);
    };
    tell("bytes", after.asked - before.asked);
    tell("usable_bytes", after.usable - before.usable);
    if let Some(bytes) = tree.node_bytes() {
        tell("node_bytes", bytes);
    }
}
