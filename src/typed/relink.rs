//! Makes a root's pointers into the executable valid again after a restart.
//!
//! With address-space randomisation the executable lies elsewhere in each run. Some values point
//! into it: an empty `HashMap` at a static table, `Arc::<str>::default()` at a static, a borrowed
//! `Cow` at a literal. The first two are replaced by fresh ones, always (the static's reference
//! count is that of a new process, even at the same address); the third is shifted if the
//! executable is the same build, and refused otherwise.
//!
//! Order, and what each step may rely on:
//! 1. *inspect*: nothing is changed; a root that cannot be relinked is refused here.
//! 2. *apply*: every reachable value is relinked in place. Keys of maps and sets cannot be, so such
//!    a map is emptied into a vector (nothing is hashed or compared) and its entries relinked there.
//! 3. *rebuild*: now that no stale pointer is left, the entries go back into their maps. A map inside
//!    the entries of another, or compared with them, is rebuilt first: its type reaches fewer
//!    types, or else it was found later.
//!
//! Shared values are relinked once a process: their addresses are remembered across roots. Limit:
//! if a value is shared by two roots that were not opened by the same runs, its `Cow`s may
//! belong to a run that neither root remembers; they are then refused as stray.
#![allow(unsafe_code, reason = "rewrites stale pointers through raw ones, before they are used")]

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::ptr;

use super::inspect::{Findings, Inspect};
use super::links::{DEPTH_BOUND, Links};
use super::{Durable, Link, TypeRef};
use crate::os::exe::ExecutableIdentity;

/// Relinks the roots of one restored heap. Keep it as long as the heap is open.
#[derive(Debug)]
pub struct Relinker {
    to: ExecutableIdentity,
    arena: Range<u64>,
    seen: HashSet<u64>,
}

/// How much there was to relink.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Relinked {
    /// Empty singletons replaced by this program's.
    pub refreshed: u64,
    /// Pointers to constant data shifted to where the executable lies now.
    pub shifted: u64,
    /// Maps and sets rebuilt because their keys were relinked.
    pub rebuilt: u64,
}

/// Why a root cannot be used by this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelinkError {
    /// Pointers into the executable of another build.
    #[error(
        "{pinned} values of the root's type `{root}` (the first a `{owner}` at `{path}`) point into the \
         executable of build {stored:032x}, and this program is build {current:032x}: open the \
         heap with that build, and with it replace borrowed `Cow`s by owned ones"
    )]
    OtherBuild {
        /// The root's type.
        root: String,
        /// How many such pointers.
        pinned: u64,
        /// The type that holds the first one.
        owner: String,
        /// Where that type is, from the root's on.
        path: String,
        /// The build that linked the root last.
        stored: u128,
        /// The running build.
        current: u128,
    },
    /// Pointers to memory that is neither the heap nor the executable.
    #[error(
        "{strays} values of the root's type `{root}` (the first a `{owner}` at `{path}`) borrow memory \
         that was neither the heap's nor the program's, the first at {address:#x}: a shared \
         library's or a transient allocation's; it is gone. Store owned `Cow`s"
    )]
    Stray {
        /// The root's type.
        root: String,
        /// How many such pointers.
        strays: u64,
        /// The type that holds the first one.
        owner: String,
        /// Where that type is, from the root's on.
        path: String,
        /// What the first one points to.
        address: u64,
    },
    /// A lock was held when the snapshot was taken, by a guard that was leaked.
    #[error(
        "a `{owner}` at `{path}` of the root's type `{root}` is locked for ever: its guard was \
         leaked in an earlier run, and what it protects cannot be relinked; open an older snapshot"
    )]
    Locked {
        /// The root's type.
        root: String,
        /// The lock's type.
        owner: String,
        /// Where that type is, from the root's on.
        path: String,
    },
    /// Entries were lost when a map was rebuilt. The root must not be used, nor saved.
    #[error(
        "{lost} entries of a `{owner}` at `{path}` of the root's type `{root}` have keys that are equal \
         now and were not before: their `Eq`, `Ord` or `Hash` depends on more than the key's \
         value. Nothing was written to disk; do not take a snapshot"
    )]
    KeysMerged {
        /// The root's type.
        root: String,
        /// The map's type.
        owner: String,
        /// Where that type is, from the root's on.
        path: String,
        /// How many entries.
        lost: usize,
    },
}

impl Relinker {
    /// A relinker for a program that lies at `to` and whose heap's addresses are `arena`.
    #[must_use]
    pub fn new(to: ExecutableIdentity, arena: Range<u64>) -> Self {
        Self { to, arena, seen: HashSet::new() }
    }

    /// Makes all that `root` reaches valid for this run; to be called once a root and run, before
    /// anything else looks at it. `from` is the executable of the run that linked it last.
    ///
    /// # Errors
    /// Except for [`RelinkError::KeysMerged`], nothing has been changed.
    ///
    /// # Panics
    /// If `Eq`, `Ord` or `Hash` of a key does; the root is then half rebuilt and must not be saved.
    ///
    /// # Safety
    /// `root` is a `T` as an earlier run left it: valid but for pointers into that run's executable,
    /// which lay at `from`. Nobody else accesses what it reaches during the call, except shared
    /// values of roots that this relinker has relinked.
    pub unsafe fn relink<T: Durable>(
        &mut self,
        root: &mut T,
        from: &ExecutableIdentity,
    ) -> Result<Relinked, RelinkError> {
        let links = Links::of::<T>();
        let link = links.link::<T>();
        if link == Link::Pinned {
            let mut inspect = Inspect::new(&links, from.range(), self.arena.clone(), &self.seen);
            inspect.run(root);
            let findings = inspect.findings;
            self.judge(&findings, &links, from)?;
        }
        let mut relink = Relink::new(&links, self, from);
        if link != Link::None {
            relink.visit(root);
        }
        relink.finish()
    }

    fn judge(
        &self,
        findings: &Findings,
        links: &Links,
        from: &ExecutableIdentity,
    ) -> Result<(), RelinkError> {
        let (root, _) = links.place(TypeRef(0));
        if let Some(of) = findings.locked {
            let (owner, path) = links.place(of);
            return Err(RelinkError::Locked { root, owner, path });
        }
        if let Some((of, address)) = findings.first_stray {
            let (owner, path) = links.place(of);
            let strays = findings.strays;
            return Err(RelinkError::Stray { root, strays, owner, path, address });
        }
        match findings.first_pinned {
            Some(of) if from.build != self.to.build => {
                let (owner, path) = links.place(of);
                let (pinned, stored, current) = (findings.pinned, from.build, self.to.build);
                Err(RelinkError::OtherBuild { root, pinned, owner, path, stored, current })
            }
            _ => Ok(()),
        }
    }
}

/// Visits values and makes their pointers valid; made by [`Relinker`] only.
pub struct Relink<'a> {
    links: &'a Links,
    from: Range<u64>,
    to: u64,
    arena: Range<u64>,
    seen: &'a mut HashSet<u64>,
    work: Vec<Work>,
    rebuilds: Vec<Rebuild>,
    ranks: HashMap<TypeRef, usize>,
    depth: usize,
    done: Relinked,
}

/// A value to be relinked later. Invariant: `visit` takes what `at` points to.
struct Work {
    at: *mut (),
    visit: unsafe fn(*mut (), &mut Relink<'_>),
}

/// A map to be refilled; `run` gives the number of entries lost.
struct Rebuild {
    of: TypeRef,
    rank: usize,
    run: Box<dyn FnOnce() -> usize>,
}

impl<'a> Relink<'a> {
    fn new(links: &'a Links, relinker: &'a mut Relinker, from: &ExecutableIdentity) -> Self {
        Self {
            links,
            from: from.range(),
            to: relinker.to.start,
            arena: relinker.arena.clone(),
            seen: &mut relinker.seen,
            work: Vec::new(),
            rebuilds: Vec::new(),
            ranks: HashMap::new(),
            depth: 0,
            done: Relinked::default(),
        }
    }

    /// Relinks a value, now or, if the values are nested deeply, later.
    pub fn visit<T: Durable>(&mut self, value: &mut T) {
        if self.links.link::<T>() != Link::None {
            self.enter(value);
        }
    }

    /// Relinks several values of one type; costs nothing if the type needs none.
    pub fn each<'v, T: Durable>(&mut self, values: impl IntoIterator<Item = &'v mut T>) {
        if self.links.link::<T>() != Link::None {
            values.into_iter().for_each(|value| self.enter(value));
        }
    }

    /// Relinks a value that several pointers share, unless that has been done.
    ///
    /// # Safety
    /// `value` points to a valid place that nothing else accesses during the relinking.
    pub unsafe fn shared<T: Durable>(&mut self, value: *mut T) {
        if self.links.link::<T>() != Link::None && self.seen.insert(value as u64) {
            // SAFETY: as this function demands; and the place is visited only this once.
            self.enter(unsafe { &mut *value });
        }
    }

    /// Whether values of `T` have anything to relink.
    #[must_use]
    pub fn concerns<T: Durable>(&self) -> bool {
        self.links.link::<T>() != Link::None
    }

    /// Whether the address is the heap's, so that what lies there is what lay there.
    #[must_use]
    pub fn is_durable(&self, address: u64) -> bool {
        self.arena.contains(&address) && !self.from.contains(&address)
    }

    /// Where constant data that lay at `address` lies now; counts it if that is elsewhere.
    pub fn shifted(&mut self, address: u64) -> u64 {
        if !self.from.contains(&address) {
            return address;
        }
        self.done.shifted += 1;
        self.to.wrapping_add(address - self.from.start)
    }

    /// Counts a singleton that was replaced.
    pub fn refreshed(&mut self) {
        self.done.refreshed += 1;
    }

    /// Relinks the `entries` that were taken from the now empty `map`, and has `put` return them to
    /// it when everything has been relinked; `put` answers how many it ended up with.
    pub fn rebuild<M: Durable, E: 'static>(
        &mut self,
        map: &mut M,
        mut entries: Vec<E>,
        each: impl Fn(&mut E, &mut Self),
        put: fn(&mut M, Vec<E>) -> usize,
    ) {
        entries.iter_mut().for_each(|entry| each(entry, self));
        let map = ptr::from_mut(map);
        let run = move || {
            let count = entries.len();
            // SAFETY: the map stays in place until the relinking is over (the contract of `Durable`);
            // where it lies inside another map's entries, those move only afterwards, since
            // rebuilding goes from the inside out. Nobody else accesses it.
            let map = unsafe { &mut *map };
            count.saturating_sub(put(map, entries))
        };
        let of = self.links.number::<M>();
        let schema = &self.links.described.schema;
        let rank = *self.ranks.entry(of).or_insert_with(|| schema.reached(of).count());
        self.rebuilds.push(Rebuild { of, rank, run: Box::new(run) });
        self.done.rebuilt += 1;
    }

    fn enter<T: Durable>(&mut self, value: &mut T) {
        if self.depth < DEPTH_BOUND {
            self.depth += 1;
            value.relink(self);
            self.depth -= 1;
        } else {
            let at = ptr::from_mut(value).cast();
            self.work.push(Work { at, visit: relink_at::<T> });
        }
    }

    /// Does the work that was put off, then rebuilds from the inside out.
    fn finish(mut self) -> Result<Relinked, RelinkError> {
        while let Some(Work { at, visit }) = self.work.pop() {
            // SAFETY: `at` came from a mutable reference to a value of `visit`'s type, which stays in
            // place until the relinking is over (the contract of `Durable`).
            unsafe { visit(at, &mut self) };
        }
        let mut order: Vec<(usize, Rebuild)> = self.rebuilds.drain(..).enumerate().collect();
        order.sort_by_key(|(found, rebuild)| (rebuild.rank, Reverse(*found)));
        let mut merged = None;
        for (_, Rebuild { of, run, .. }) in order {
            let lost = run();
            if lost > 0 {
                merged.get_or_insert((of, lost));
            }
        }
        let Some((of, lost)) = merged else {
            return Ok(self.done);
        };
        let ((root, _), (owner, path)) = (self.links.place(TypeRef(0)), self.links.place(of));
        Err(RelinkError::KeysMerged { root, owner, path, lost })
    }
}

/// # Safety
/// `at` must point to a `T` that nobody else accesses.
unsafe fn relink_at<T: Durable>(at: *mut (), relink: &mut Relink<'_>) {
    // SAFETY: as this function demands.
    let value = unsafe { &mut *at.cast::<T>() };
    value.relink(relink);
}
