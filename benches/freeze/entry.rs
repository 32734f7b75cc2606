//! What a thread pays for the gate while no freeze is under way: entering and leaving a scope,
//! beside locking and unlocking a mutex that nobody else wants.

use crate::report::short;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;
use stillheap::Scope;

const ROUNDS: u32 = 10_000_000;
/// The fastest of so many counts: others can only make it slower.
const TRIES: usize = 5;

/// Prints both, and how many scopes a mutex is worth.
pub(crate) fn measure() {
    let mutex = Mutex::new(0_u64);
    let scope = nanoseconds(|| drop(black_box(Scope::enter())));
    let lock = nanoseconds(|| drop(black_box(mutex.lock())));
    println!("metric freeze.gate.scope_ns {} ns", short(scope));
    println!("metric freeze.gate.mutex_ns {} ns", short(lock));
    println!("ratio freeze.gate.mutex_over_scope {}", short(lock / scope));
}

fn nanoseconds(mut once: impl FnMut()) -> f64 {
    let mut try_once = || {
        let begun = Instant::now();
        (0..ROUNDS).for_each(|_| once());
        begun.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    };
    (0..TRIES).map(|_| try_once()).fold(f64::INFINITY, f64::min)
}
