//! What the benches `store` and `restore` have in common: arguments, a folder on the disk that is
//! measured, children that measure in a process of their own, figures, random numbers.

mod arguments;
mod child;
mod figures;
mod folder;
mod random;

pub(crate) use arguments::Arguments;
pub(crate) use child::{arguments_of_child, in_child, tell};
pub(crate) use figures::{median, metric, milliseconds, ratio, short};
pub(crate) use folder::Folder;
pub(crate) use random::Random;

pub(crate) type Error = Box<dyn std::error::Error>;
