//! Lists of slabs in which other threads have freed blocks: lock-free, many push, one takes all.
//!
//! A slab's `ripe` flag says that it stands on such a list; who raises it pushes, who takes
//! the slab off lowers it. So a slab stands on one list at most. A push may come late, after
//! the slab changed its owner or is no slab any more: who takes it off looks again.

use crate::base::PageIndex;
use crate::base::sync::{AtomicU32, Ordering};

/// The head of such a list: a slab's number plus one, or zero.
#[derive(Debug)]
pub struct RipeList(AtomicU32);

/// The two fields of a slab's note that a list uses.
#[derive(Debug)]
pub struct RipeLink<'a> {
    /// Its flag.
    pub ripe: &'a AtomicU32,
    /// The next slab on the list, plus one.
    pub next: &'a AtomicU32,
}

impl RipeList {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Puts a slab on the list unless it stands on one already.
    pub fn raise(&self, page: PageIndex, link: &RipeLink<'_>) {
        if link.ripe.swap(1, Ordering::AcqRel) == 0 {
            self.push(page, link);
        }
    }

    /// Puts a slab on the list whose flag is up already, taken from another list.
    pub fn push(&self, page: PageIndex, link: &RipeLink<'_>) {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            link.next.store(head, Ordering::Relaxed);
            match self.0.compare_exchange_weak(
                head,
                page.0 + 1,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(found) => head = found,
            }
        }
    }

    /// Takes all slabs off, newest first; walk on with [`RipeList::after`].
    #[must_use]
    pub fn take_all(&self) -> Option<PageIndex> {
        if self.0.load(Ordering::Relaxed) == 0 {
            return None;
        }
        linked(self.0.swap(0, Ordering::Acquire))
    }

    /// Lowers the flag of a slab that was taken off. What was freed before a flag was found up
    /// is seen afterwards: hence a swap, which reads what the freeing thread wrote.
    pub fn lower(link: &RipeLink<'_>) {
        link.ripe.swap(0, Ordering::AcqRel);
    }

    /// The slab after this one; to be asked before the flag is lowered or the slab is pushed.
    #[must_use]
    pub fn after(link: &RipeLink<'_>) -> Option<PageIndex> {
        linked(link.next.load(Ordering::Relaxed))
    }
}

impl Default for RipeList {
    fn default() -> Self {
        Self::new()
    }
}

/// Slab numbers in links are one too high, so that zero means none.
#[must_use]
pub fn linked(link: u32) -> Option<PageIndex> {
    link.checked_sub(1).map(PageIndex)
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    struct Note {
        ripe: AtomicU32,
        next: AtomicU32,
        freed: AtomicU32,
    }

    impl Note {
        fn link(&self) -> RipeLink<'_> {
            RipeLink { ripe: &self.ripe, next: &self.next }
        }
    }

    /// Two threads free blocks of two slabs while the owner drains: nothing freed is missed.
    #[test]
    fn no_free_is_lost() {
        loom::model(|| {
            let note = || Note {
                ripe: AtomicU32::new(0),
                next: AtomicU32::new(0),
                freed: AtomicU32::new(0),
            };
            let shared = Arc::new((RipeList::new(), [note(), note()]));
            let freeing: Vec<_> = (0..2)
                .map(|thread: u32| {
                    let shared = Arc::clone(&shared);
                    loom::thread::spawn(move || {
                        for slab in 0..2u32 {
                            let note = &shared.1[slab as usize];
                            note.freed.fetch_or(1 << thread, Ordering::Release);
                            shared.0.raise(PageIndex(slab), &note.link());
                        }
                    })
                })
                .collect();
            let mut seen = [0, 0];
            drain(&shared, &mut seen);
            for thread in freeing {
                thread.join().unwrap();
            }
            drain(&shared, &mut seen);
            assert_eq!(seen, [3, 3]);
        });
    }

    fn drain(shared: &(RipeList, [Note; 2]), seen: &mut [u32; 2]) {
        let mut next = shared.0.take_all();
        while let Some(page) = next {
            let note = &shared.1[page.0 as usize];
            next = RipeList::after(&note.link());
            RipeList::lower(&note.link());
            seen[page.0 as usize] |= note.freed.swap(0, Ordering::AcqRel);
        }
    }
}
