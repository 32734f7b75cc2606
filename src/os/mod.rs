//! The system's layer: every call to the operating system, behind safe functions.

pub mod exe;
