//! Threads that allocate nothing: where the heap's memory must not be written to, as within a
//! window, and where a missing thread must not end the process.
//!
//! Not of std's, whose threads allocate when they start, and end the process if the system has not
//! a few pages more for them then.
#![allow(unsafe_code, reason = "calls pthread functions, and lends a closure to a thread")]

use super::{signals::SignalsBlocked, thread::processors};
use std::{
    ffi::c_void,
    fmt, io,
    mem::{self, MaybeUninit},
    ptr::{self, NonNull},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Bytes of a thread's stack, of which it needs little.
const STACK: usize = 256 << 10;

/// What a thread does, over and over.
pub(super) trait Serve: Send + Sync + 'static {
    /// Does it until it is over.
    fn serve(&self);
}

/// A thread that serves. Whoever drops this has told it before that it is over.
#[derive(Debug)]
pub(super) struct SilentThread(libc::pthread_t);

// SAFETY: it names a thread, by an address in some C libraries; any thread may join it.
unsafe impl Send for SilentThread {}

// SAFETY: as above; through a shared reference nothing is done with it.
unsafe impl Sync for SilentThread {}

impl SilentThread {
    /// Starts one.
    ///
    /// # Errors
    /// If the system gives none.
    pub(super) fn start<S: Serve>(shared: &Arc<S>) -> io::Result<Self> {
        let argument = Arc::into_raw(Arc::clone(shared)).cast_mut().cast();
        spawn(serve::<S>, argument).map(Self).inspect_err(|_| {
            // SAFETY: made above, and no thread has got it.
            drop(unsafe { Arc::from_raw(argument.cast::<S>().cast_const()) });
        })
    }
}

impl Drop for SilentThread {
    fn drop(&mut self) {
        // SAFETY: the thread was started, and is joined here alone.
        let _ = unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
    }
}

fn spawn(
    run: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> io::Result<libc::pthread_t> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: initialises the attributes.
    check(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
    // SAFETY: initialised above. If the size is refused, it stays as it is.
    let _ = unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK) };
    let mut thread = MaybeUninit::uninit();
    // The thread keeps them away as well: a handler of the program's may write to the heap.
    let _blocked = SignalsBlocked::new();
    // SAFETY: the attributes are initialised; the function gets the pointer that it wants.
    let started = check(unsafe {
        libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, argument)
    });
    // SAFETY: initialised above, and not used after this.
    let _ = unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    // SAFETY: set when the thread was started.
    started.map(|()| unsafe { thread.assume_init() })
}

extern "C" fn serve<S: Serve>(shared: *mut c_void) -> *mut c_void {
    // SAFETY: the raw form that `start` made for this thread.
    let shared = unsafe { Arc::from_raw(shared.cast::<S>().cast_const()) };
    shared.serve();
    ptr::null_mut()
}

fn check(error: i32) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// A second thread, for work in two halves that comes again and again.
#[derive(Debug)]
pub struct Helper {
    asked: Arc<Asked>,
    _thread: SilentThread,
}

#[derive(Debug, Default)]
struct Asked {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Asked(Job),
    Busy,
    Over,
}

/// A closure of somebody's who waits until it has been called.
struct Job(NonNull<dyn FnMut() + Send>);

// SAFETY: the closure may be called by another thread, as its type says, and nobody else calls it.
unsafe impl Send for Job {}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

impl Helper {
    /// Starts the thread, if there is so much to do that it is worth that. `None` also with one
    /// processor, or if the system gives no thread.
    #[must_use]
    pub fn start_if(is_worth_it: bool) -> Option<Self> {
        if is_worth_it && processors() > 1 { Self::start().ok() } else { None }
    }

    fn start() -> io::Result<Self> {
        let asked = Arc::new(Asked::default());
        Ok(Self { _thread: SilentThread::start(&asked)?, asked })
    }

    /// Has the thread do `theirs` while the calling one does `mine`. Both have been done when this
    /// returns, however `mine` ends. What `theirs` does must not allocate, if the caller needs
    /// that; a panic of it ends the process.
    pub fn both<R>(&mut self, mut theirs: impl FnMut() + Send, mine: impl FnOnce() -> R) -> R {
        let theirs: NonNull<dyn FnMut() + Send + '_> = NonNull::from(&mut theirs);
        // SAFETY: changes the lifetime alone. The closure is not called after `_done` is gone,
        // which is before what it borrows is.
        let job = unsafe {
            mem::transmute::<NonNull<dyn FnMut() + Send + '_>, NonNull<dyn FnMut() + Send>>(theirs)
        };
        self.asked.set(State::Asked(Job(job)));
        let _done = Done(&self.asked);
        mine()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.asked.set(State::Over);
    }
}

/// Waits, when it is dropped, until a job has been done.
struct Done<'a>(&'a Asked);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let is_at_it = |state: &mut State| !matches!(state, State::Idle);
        let waited = self.0.changed.wait_while(self.0.lock(), is_at_it);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Serve for Asked {
    fn serve(&self) {
        while let Some(mut job) = self.next() {
            // SAFETY: whoever has asked waits until the state is idle again, and leaves the closure
            // alone until then.
            unsafe { job.0.as_mut()() };
            self.set(State::Idle);
        }
    }
}

impl Asked {
    /// Waits for a job; `None`: it is over.
    fn next(&self) -> Option<Job> {
        let is_idle = |state: &mut State| matches!(state, State::Idle | State::Busy);
        let waited = self.changed.wait_while(self.lock(), is_idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        match mem::replace(&mut *state, State::Busy) {
            State::Asked(job) => Some(job),
            State::Idle | State::Busy | State::Over => None,
        }
    }

    fn set(&self, state: State) {
        *self.lock() = state;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_done_again_and_again() {
        let mut helper = Helper::start().unwrap();
        let (mut left, mut right) = (0, Vec::new());
        for round in 0..100 {
            let doubled = helper.both(|| right.push(round), || round * 2);
            left += doubled;
        }
        assert_eq!((left, right), (9900, (0..100).collect::<Vec<i32>>()));
    }

    #[test]
    fn theirs_is_done_though_mine_panics() {
        let mut helper = Helper::start().unwrap();
        let mut done = false;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let slowly = || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                done = true;
            };
            helper.both(slowly, || std::panic::resume_unwind(Box::new(())));
        }));
        assert!(outcome.is_err() && done);
        assert_eq!(helper.both(|| done = false, || 7), 7);
        assert!(!done);
    }
}
