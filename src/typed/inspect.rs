//! The first pass of relinking: counts the pointers into the executable and finds those that
//! nothing can make valid again, while nothing has been changed yet.
#![allow(unsafe_code, reason = "visits values through the pointers on its list of work")]

use std::collections::HashSet;
use std::ops::Range;

use super::links::{DEPTH_BOUND, Links};
use super::{Durable, Link, TypeRef};

/// Visits values without changing them; made by [`Relinker`](super::Relinker) only.
pub struct Inspect<'a> {
    links: &'a Links,
    executable: Range<u64>,
    arena: Range<u64>,
    done: &'a HashSet<u64>,
    seen: HashSet<u64>,
    work: Vec<Work>,
    depth: usize,
    pub(super) findings: Findings,
}

/// What the inspection found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) pinned: u64,
    pub(super) first_pinned: Option<TypeRef>,
    pub(super) strays: u64,
    pub(super) first_stray: Option<(TypeRef, u64)>,
    pub(super) locked: Option<TypeRef>,
}

/// A value to be inspected later. Invariant: `visit` takes what `at` points to.
struct Work {
    at: *const (),
    visit: unsafe fn(*const (), &mut Inspect<'_>),
}

impl<'a> Inspect<'a> {
    pub(super) fn new(
        links: &'a Links,
        executable: Range<u64>,
        arena: Range<u64>,
        done: &'a HashSet<u64>,
    ) -> Self {
        let (seen, findings) = (HashSet::new(), Findings::default());
        Self { links, executable, arena, done, seen, work: Vec::new(), depth: 0, findings }
    }

    /// Visits the value and all that it reaches.
    pub(super) fn run<T: Durable>(&mut self, root: &T) {
        self.visit(root);
        while let Some(Work { at, visit }) = self.work.pop() {
            // SAFETY: `at` came from a reference to a value of `visit`'s type, which stays in place
            // and unchanged until the inspection is over (the contract of `Durable`).
            unsafe { visit(at, self) };
        }
    }

    /// Inspects a value, now or, if the values are nested deeply, later.
    pub fn visit<T: Durable>(&mut self, value: &T) {
        if self.links.link::<T>() == Link::Pinned {
            self.enter(value);
        }
    }

    /// Inspects several values of one type; costs nothing if the type needs none.
    pub fn each<'v, T: Durable>(&mut self, values: impl IntoIterator<Item = &'v T>) {
        if self.links.link::<T>() == Link::Pinned {
            values.into_iter().for_each(|value| self.enter(value));
        }
    }

    /// Inspects a value that several pointers share, unless that has been done.
    pub fn shared<T: Durable>(&mut self, value: &T) {
        let address = (&raw const *value) as u64;
        let pinned = self.links.link::<T>() == Link::Pinned;
        if pinned && !self.done.contains(&address) && self.seen.insert(address) {
            self.enter(value);
        }
    }

    /// Reports that an `Owner` holds a pointer to `bytes` bytes of constant data at `address`.
    pub fn borrowed<Owner: Durable>(&mut self, address: u64, bytes: usize) {
        let owner = self.links.number::<Owner>();
        if bytes == 0 {
            return;
        }
        if self.executable.contains(&address) {
            self.findings.pinned += 1;
            self.findings.first_pinned.get_or_insert(owner);
        } else if !self.arena.contains(&address) {
            self.findings.strays += 1;
            self.findings.first_stray.get_or_insert((owner, address));
        }
    }

    /// Reports that an `Owner` is locked and could not be looked into.
    pub fn locked<Owner: Durable>(&mut self) {
        let owner = self.links.number::<Owner>();
        self.findings.locked.get_or_insert(owner);
    }

    fn enter<T: Durable>(&mut self, value: &T) {
        if self.depth < DEPTH_BOUND {
            self.depth += 1;
            value.inspect(self);
            self.depth -= 1;
        } else {
            let at = (&raw const *value).cast();
            self.work.push(Work { at, visit: inspect_at::<T> });
        }
    }
}

/// # Safety
/// `at` must point to a `T` that nobody changes.
unsafe fn inspect_at<T: Durable>(at: *const (), inspect: &mut Inspect<'_>) {
    // SAFETY: as this function demands.
    let value = unsafe { &*at.cast::<T>() };
    value.inspect(inspect);
}
