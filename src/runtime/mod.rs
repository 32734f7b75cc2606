//! Opening and closing heaps, the process's one heap, and what upper layers need of the two.

pub(crate) mod pages;
