//! The addresses of all roots' values: blocks that are not to be freed or moved, or the next
//! opening would find the root table damaged.

use crate::ffi::codes::Code;
use crate::ffi::failure::Failure;
use crate::runtime::ROOTS_MAX;
use crate::typed::ForeignRoot;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, PoisonError};

static VALUES: Values = Values::new();
static CHANGING: Mutex<()> = Mutex::new(());

/// A set of addresses that is looked at while it is changed. What stays in it stays in its place:
/// so whoever looks through the places finds it.
struct Values {
    /// 0: nothing.
    places: [AtomicUsize; ROOTS_MAX],
    /// The first so many of them count.
    count: AtomicUsize,
}

impl Values {
    const fn new() -> Self {
        let places = [const { AtomicUsize::new(0) }; ROOTS_MAX];
        Self { places, count: AtomicUsize::new(0) }
    }

    #[inline]
    fn has(&self, value: usize) -> bool {
        let count = self.count.load(Acquire);
        self.places[..count].iter().any(|place| place.load(Relaxed) == value)
    }

    /// Has it be these, and no others. One thread at a time.
    fn set(&self, values: &[usize]) {
        for place in &self.places {
            if !values.contains(&place.load(Relaxed)) {
                place.store(0, Relaxed);
            }
        }
        for &value in values {
            let is_in = |place: &AtomicUsize| place.load(Relaxed) == value;
            if !self.places.iter().any(is_in)
                && let Some(free) = self.places.iter().find(|place| place.load(Relaxed) == 0)
            {
                free.store(value, Relaxed);
            }
        }
        let last = self.places.iter().rposition(|place| place.load(Relaxed) != 0);
        self.count.store(last.map_or(0, |last| last + 1), Release);
    }
}

/// Notes the roots that there are now.
pub(super) fn note(list: impl FnOnce() -> Vec<ForeignRoot>) {
    let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let values: Vec<usize> = list().iter().map(|root| root.value).collect();
    VALUES.set(&values);
}

/// # Errors
/// If the block is a root's value.
#[inline]
pub(super) fn refuse(block: *mut u8) -> Result<(), Failure> {
    if VALUES.has(block.addr()) { Err(refusal(block)) } else { Ok(()) }
}

#[cold]
fn refusal(block: *mut u8) -> Failure {
    Failure::new(
        Code::BadBlock,
        format_args!(
            "{block:p} is the value of a root, without which the heap could not be opened again: \
             call stillheap_root_remove first, or give the root another value"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn what_stays_is_found_while_others_come_and_go() {
        let values = Values::new();
        let many: Vec<usize> = (1..=ROOTS_MAX).collect();
        let lasting = ROOTS_MAX / 2;
        let others: Vec<usize> = many.iter().copied().filter(|value| value % 2 == 0).collect();
        values.set(&many);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looker = scope.spawn(|| {
                let mut looks = 0_u64;
                while !done.load(Relaxed) {
                    assert!(values.has(lasting), "after {looks} looks");
                    looks += 1;
                }
            });
            for _ in 0..5_000 {
                values.set(&[lasting]);
                values.set(&others);
                if looker.is_finished() {
                    break;
                }
            }
            done.store(true, Relaxed);
        });
        assert!(values.has(ROOTS_MAX) && !values.has(1));
        values.set(&[lasting]);
        assert!(values.has(lasting) && !values.has(ROOTS_MAX) && !values.has(lasting - 1));
        values.set(&[]);
        assert!(!values.has(lasting));
    }
}
