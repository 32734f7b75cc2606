//! Copy-on-write: the gate, which makes a snapshot a cut, and the engine, which lets writers go
//! on while the frozen state is saved.
//!
//! ```text
//!  writers:  announce a page --.                   .--> dirty bits, heat
//!            fault in a chunk --+--> barrier: epoch +--> stage (within a window)
//!            take a block -----'                   '--> protection
//!  saver:    gate --> freeze --> window: copy what is unwritten, empty the stage --> close it
//! ```
//! - `gate`, `gate_wait`: who may change durable state, and when
//! - `epoch`: the clock, and the word of each page and chunk; who does what with it
//! - `pages`, `cells`: the ledgers
//! - `engine`: the barrier for pages; `guard`: the barrier for chunks; `promote`: a chunk's way
//!   from an image's mapping to memory of its own
//! - `stage`, `pool`: where frozen copies wait; `freeze`, `latch`: ending an epoch
//! - `saver`, `copy`: the other side; `bell`, `counters`: what their names say
//!
//! The engine knows addresses and numbers of pages, chunks and cells; what lies in them, which
//! are in use, and what is in an image, is the business of those above it.
#![cfg_attr(loom, allow(dead_code, reason = "loom builds the lock-free parts alone"))]

#[cfg(not(loom))]
mod bell;
#[cfg(not(loom))]
mod cells;
#[cfg(not(loom))]
mod copy;
#[cfg(not(loom))]
mod counters;
#[cfg(not(loom))]
mod engine;
mod epoch;
#[cfg(not(loom))]
mod freeze;
mod gate;
mod gate_wait;
#[cfg(not(loom))]
mod guard;
mod known;
mod latch;
#[cfg(not(loom))]
mod pages;
mod pool;
#[cfg(not(loom))]
mod promote;
#[cfg(not(loom))]
mod saver;
#[cfg(not(loom))]
mod stage;

#[cfg(not(loom))]
pub use bell::Bell;
#[cfg(not(loom))]
pub use cells::CellKind;
#[cfg(not(loom))]
pub use counters::CowCounts;
#[cfg(not(loom))]
pub use engine::Engine;
#[cfg(not(loom))]
pub use freeze::{Changed, FreezeError, Saves};
pub use gate::{Closed, Gate, Pass};
#[cfg(not(loom))]
pub use guard::Fault;
#[cfg(not(loom))]
pub use saver::{FrozenChunk, Window};
#[cfg(not(loom))]
pub use stage::{STAGE_MAX, Stage, Staged, Unit};
