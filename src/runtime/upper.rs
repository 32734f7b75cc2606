//! What the layer above keeps for an open heap, or for an attached one: this layer does not know
//! what it is.

use std::any::Any;
use std::sync::{Mutex, PoisonError};

/// A value of some type, made when it is first asked for.
#[derive(Default)]
pub(super) struct Upper(Mutex<Option<Box<dyn Any + Send>>>);

impl Upper {
    /// Calls `f` with the value, under a lock.
    pub(super) fn with<S, R>(&self, f: impl FnOnce(&mut S) -> R) -> R
    where
        S: Default + Any + Send,
    {
        let mut upper = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match upper.get_or_insert_with(|| Box::new(S::default())).downcast_mut() {
            Some(state) => f(state),
            None => unreachable!("one layer keeps one state"),
        }
    }
}
