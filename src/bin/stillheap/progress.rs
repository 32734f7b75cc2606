//! A bar on the terminal for work that takes longer than a second; nothing anywhere else.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Work that takes no longer has no bar.
const PATIENCE: Duration = Duration::from_secs(1);

const FORM: &str = "{msg} [{wide_bar}] {percent} % of {len} pages, {eta} left";

/// How far a piece of work has come, in pages.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    begun: Instant,
    is_shown: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    done: u64,
    total: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let is_shown = std::io::stderr().is_terminal();
        let state = Mutex::new(State { done: 0, total, bar: None });
        Self { what, begun: Instant::now(), is_shown, state }
    }

    /// So many more pages are done.
    pub(crate) fn add(&self, pages: u64) {
        if !self.is_shown {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += pages;
        let State { done, total, .. } = *state;
        if self.begun.elapsed() > PATIENCE {
            let bar = state.bar.get_or_insert_with(|| bar(self.what));
            bar.set_length(total.max(done));
            bar.set_position(done);
        }
    }

    /// The same as a watch that never ends the work.
    pub(crate) fn watch(&self) -> impl Fn(u64) -> bool + Sync {
        |pages| {
            self.add(pages);
            true
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(FORM) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_has_a_form_that_is_one() {
        assert!(ProgressStyle::with_template(FORM).is_ok());
        let mut progress = Progress::new("testing", 2);
        progress.is_shown = true;
        assert!(progress.watch()(3), "a watch never ends the work");
    }
}
