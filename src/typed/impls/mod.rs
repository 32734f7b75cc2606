//! `Durable` for the language's and std's types.

mod borrowed;
mod cells;
mod compound;
mod hashed;
mod ordered;
mod plain;
mod sequences;
mod shared;
mod tracked;
