//! Every state in which a power cut, or a kill, may leave a simulated directory, checked one
//! by one. What a sound state is, the test says.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod forgetful;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use stillheap::os::sim::{Bounds, CrashKind, CrashState, Distinct, SimDir};

/// How many violations are told.
const TOLD: usize = 5;

/// What was tried, and what was found wrong.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// After how many operations a crash was tried.
    pub(crate) points: usize,
    /// All states; the same one may come up again.
    pub(crate) tried: usize,
    /// The different ones of each point, by what was lost in them: those that were checked.
    pub(crate) killed: usize,
    pub(crate) names: usize,
    pub(crate) data: usize,
    pub(crate) torn: usize,
    /// The different ones over all points.
    pub(crate) distinct: Distinct,
    pub(crate) violations: usize,
    /// The first violations.
    pub(crate) told: Vec<String>,
}

/// Checks what a crash after each operation of the log may leave, each state once a crash point.
/// A panic is a violation as well. The check may change the state's directory.
pub(crate) fn enumerate(
    dir: &SimDir,
    bounds: &Bounds,
    mut check: impl FnMut(usize, &CrashState) -> Result<(), String>,
) -> Counts {
    let mut counts = Counts::default();
    for point in 0..=dir.log().len() {
        counts.points += 1;
        let mut here = Distinct::default();
        for state in dir.crash_states(point, bounds) {
            counts.tried += 1;
            if !here.insert(&state) {
                continue;
            }
            counts.add(&state);
            let checked = catch_unwind(AssertUnwindSafe(|| check(point, &state)));
            if let Err(what) = checked.unwrap_or_else(|panic| Err(said(panic.as_ref()))) {
                counts.violate(&format!("{what}\n  in: {state}"));
            }
        }
    }
    counts
}

impl Counts {
    /// How many states were checked.
    pub(crate) fn checked(&self) -> usize {
        self.killed + self.names + self.data + self.torn
    }

    /// Adds those of another enumeration.
    pub(crate) fn include(&mut self, other: Self) {
        self.points += other.points;
        self.tried += other.tried;
        self.killed += other.killed;
        self.names += other.names;
        self.data += other.data;
        self.torn += other.torn;
        self.distinct.extend(other.distinct);
        self.violations += other.violations;
        self.told.extend(other.told);
        self.told.truncate(TOLD);
    }

    /// Fails if something was found wrong, or if less was tried than should have been.
    #[track_caller]
    pub(crate) fn assert_sound(&self, distinct_at_least: usize) {
        assert_eq!(self.violations, 0, "{self}\n{}", self.told.join("\n"));
        assert!(self.distinct.len() >= distinct_at_least, "{self}: too few");
    }

    fn add(&mut self, state: &CrashState) {
        let count = match state.kind {
            CrashKind::Killed => &mut self.killed,
            CrashKind::Names => &mut self.names,
            CrashKind::Data => &mut self.data,
            CrashKind::Torn => &mut self.torn,
        };
        *count += 1;
        self.distinct.insert(state);
    }

    fn violate(&mut self, what: &str) {
        self.violations += 1;
        if self.told.len() < TOLD {
            self.told.push(what.to_owned());
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { points, tried, killed, names, data, torn, violations, .. } = self;
        write!(
            f,
            "{points} crash points, {tried} states tried, {} checked ({killed} kills, {names} \
             losses of names alone, {data} subsets of data, {torn} with torn writes), {} \
             distinct, {violations} violations",
            self.checked(),
            self.distinct.len()
        )
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("without words"))
}
