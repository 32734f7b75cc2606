//! The copy-on-write engine. Built so far: the gate, which makes a snapshot a cut.

mod gate;
mod gate_wait;

pub use gate::{Closed, Gate, Pass};
