//! The gate with real threads: nobody inside while it is closed, nobody stuck.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;
use stillheap::cow::{Gate, Pass};

/// Threads change two counters, always both; whoever closes the gate must find them equal.
#[test]
fn nothing_is_half_done_while_closed() {
    let gate = Gate::new();
    let passes: [Pass; 4] = std::array::from_fn(|_| Pass::new());
    let pairs: [[AtomicU64; 2]; 4] = Default::default();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, (pass, [left, right])) in passes.iter().zip(&pairs).enumerate() {
            let (gate, stop) = (&gate, &stop);
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    if number % 2 == 0 {
                        gate.enter_scope(pass)
                    } else {
                        gate.enter_call(pass)
                    }
                    left.store(left.load(Relaxed) + 1, Relaxed);
                    right.store(right.load(Relaxed) + 1, Relaxed);
                    if number % 2 == 0 { gate.leave_scope(pass) } else { gate.leave_call(pass) }
                }
            });
        }
        // Each thread has begun.
        while pairs.iter().any(|[left, _]| left.load(Relaxed) == 0) {
            thread::yield_now();
        }
        for _ in 0..2_000 {
            let closed = gate.close(|| passes.iter());
            for [left, right] in &pairs {
                assert_eq!(left.load(Relaxed), right.load(Relaxed));
            }
            drop(closed);
        }
        stop.store(true, Relaxed);
    });
}

/// A thread in a scope wants a lock whose holder enters a scope, or calls the allocator.
#[test]
fn locks_held_outside_are_no_deadlock() {
    for holder_calls in [false, true] {
        let gate = Gate::new();
        let passes = [Pass::new(), Pass::new()];
        let lock = Mutex::new(());
        let (in_scope, wait_for_scope) = mpsc::channel();
        thread::scope(|scope| {
            let held = lock.lock().unwrap();
            scope.spawn(|| {
                gate.enter_scope(&passes[0]);
                in_scope.send(()).unwrap();
                drop(lock.lock().unwrap());
                gate.leave_scope(&passes[0]);
            });
            wait_for_scope.recv().unwrap();
            let freeze = scope.spawn(|| drop(gate.close(|| passes.iter())));
            // Attempts fail as long as the scope waits for the lock; this thread goes on.
            while gate.retries() < 3 {
                if holder_calls {
                    gate.enter_call(&passes[1]);
                    gate.leave_call(&passes[1]);
                } else {
                    gate.enter_scope(&passes[1]);
                    gate.leave_scope(&passes[1]);
                }
            }
            drop(held);
            freeze.join().unwrap();
        });
    }
}

/// Others go on while one scope lasts and a freeze is wanted. Every attempt is a part of the drain.
#[test]
fn a_long_scope_delays_the_freeze_alone() {
    let gate = Gate::new();
    let passes = [Pass::new(), Pass::new()];
    gate.enter_scope(&passes[0]);
    thread::scope(|scope| {
        let freeze = scope.spawn(|| gate.close(|| passes.iter()).drain());
        let mut entered = 0_u64;
        while gate.retries() < 8 {
            gate.enter_scope(&passes[1]);
            gate.leave_scope(&passes[1]);
            entered += 1;
        }
        assert!(!freeze.is_finished());
        assert!(entered > 0);
        gate.leave_scope(&passes[0]);
        let drain = freeze.join().unwrap();
        assert!(drain >= Duration::from_millis(8), "{drain:?} in eight attempts of a millisecond");
    });
}

/// A thread that loses its processor inside an allocator call: others get through their rounds,
/// of calls and of scopes, while freezes are given up; once it has left, the gate closes.
#[test]
fn a_call_that_lasts_delays_the_freeze_alone() {
    const ROUNDS: u64 = 10_000;
    let gate = Gate::new();
    let passes: [Pass; 3] = std::array::from_fn(|_| Pass::new());
    gate.enter_call(&passes[0]);
    let (gate, passes) = (&gate, &passes);
    thread::scope(|scope| {
        let freeze = scope.spawn(|| drop(gate.close(|| passes.iter())));
        let is_enough = |round: &u64| *round >= ROUNDS && gate.retries() >= 5;
        let calls = scope.spawn(move || {
            for _ in (0..).take_while(|round| !is_enough(round)) {
                gate.enter_call(&passes[1]);
                gate.leave_call(&passes[1]);
            }
        });
        let scopes = scope.spawn(move || {
            for _ in (0..).take_while(|round| !is_enough(round)) {
                gate.enter_scope(&passes[2]);
                gate.leave_scope(&passes[2]);
            }
        });
        calls.join().unwrap();
        scopes.join().unwrap();
        assert!(!freeze.is_finished(), "nobody may be inside a closed gate");
        gate.leave_call(&passes[0]);
        freeze.join().unwrap();
    });
    drop(gate.close(|| passes.iter()));
}

#[test]
fn a_panic_opens_the_gate() {
    let gate = Gate::new();
    let pass = Pass::new();
    let result = thread::scope(|scope| {
        let panicking = || {
            let _closed = gate.close(|| [&pass].into_iter());
            panic!("on purpose");
        };
        scope.spawn(panicking).join()
    });
    assert!(result.is_err());
    gate.enter_scope(&pass);
    gate.leave_scope(&pass);
    drop(gate.close(|| [&pass].into_iter()));
}

#[test]
fn freezes_take_turns() {
    let gate = Gate::new();
    let pass = Pass::new();
    let inside = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let _closed = gate.close(|| [&pass].into_iter());
                    assert_eq!(inside.fetch_add(1, Relaxed), 0);
                    inside.fetch_sub(1, Relaxed);
                }
            });
        }
    });
}
