//! What a snapshot's roots lead to: its blocks, read from its tables, and a conservative trace of
//! the words in them.
//!
//! A word leads to a block if it is an address in it, its end not included. Whatever else the word
//! may be is not asked: so a number that looks like an address keeps a block that nothing leads
//! to, and no block is missed that a plain pointer leads to (Boehm, Weiser: Garbage Collection in
//! an Uncooperative Environment, 1988). Only a snapshot's files are read, never live memory: they
//! do not change meanwhile, and so the trace needs neither a stop nor a barrier.
//!
//! Reading is total: tables that contradict themselves give fewer blocks, and never a panic.
//!
//! `audit` and `leaks` look for mistakes on the way: pointers that leave the heap, and lost blocks.

mod audit;
mod blocks;
mod cache;
mod leaks;
mod maps;
mod mark;
mod source;
mod tables;
mod tally;
mod targets;
mod text;

pub use audit::{Audit, Count, Finding, Known};
pub use blocks::{Block, Blocks};
pub use leaks::{Leaks, Lost, LostOfSize, QUARANTINED};
pub use maps::{MapWord, SlotMaps};
pub use mark::{Ended, Trace, Visit};
pub use source::{ChainSource, Source};
pub use tally::{Amount, Tally};
pub use targets::{Target, Targets};
pub use text::purpose_name;
