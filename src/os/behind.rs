//! Has the disk begin with a large file while it is still being written: the sync at the end, which
//! somebody waits for, then has less to do.
//!
//! A thread of its own does that, since the system makes who asks for it wait when the disk's queue
//! is full. It is a hint: nothing is durable by it.
#![allow(unsafe_code, reason = "calls sync_file_range and pthread functions")]

use std::{
    ffi::c_void,
    fs::File,
    io,
    mem::MaybeUninit,
    os::fd::AsRawFd,
    ptr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Bytes of its stack, of which it needs little.
const STACK: usize = 256 << 10;

/// Writes a file's pages to the disk when told to. Dropping it ends that.
#[derive(Debug)]
pub(super) struct WriteBehind {
    asked: Arc<Asked>,
    /// Not one of std's, which ends the process if it cannot map a few more pages when it starts.
    thread: libc::pthread_t,
}

#[derive(Debug)]
struct Asked {
    file: Arc<File>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_due: bool,
    is_over: bool,
}

impl WriteBehind {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives none.
    pub(super) fn start(file: Arc<File>) -> io::Result<Self> {
        let asked = Arc::new(Asked { file, state: Mutex::default(), changed: Condvar::new() });
        let shared = Arc::into_raw(Arc::clone(&asked));
        match spawn(shared.cast_mut().cast()) {
            Ok(thread) => Ok(Self { asked, thread }),
            Err(error) => {
                // SAFETY: no thread has got it.
                drop(unsafe { Arc::from_raw(shared) });
                Err(error)
            }
        }
    }

    /// Has all be written that has not been yet. Does not wait for it.
    pub(super) fn ask(&self) {
        self.asked.lock().is_due = true;
        self.asked.changed.notify_one();
    }
}

impl Drop for WriteBehind {
    fn drop(&mut self) {
        self.asked.lock().is_over = true;
        self.asked.changed.notify_one();
        // SAFETY: the thread was started, and is joined here alone.
        let _ = unsafe { libc::pthread_join(self.thread, ptr::null_mut()) };
    }
}

/// Starts a thread that serves what `asked`, the raw form of an `Arc<Asked>`, points to.
fn spawn(asked: *mut c_void) -> io::Result<libc::pthread_t> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: initialises the attributes.
    check(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
    // SAFETY: initialised above. If the size is refused, it stays as it is.
    let _ = unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK) };
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the attributes are initialised; the function gets the pointer that it wants.
    let started = check(unsafe {
        libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), serve, asked)
    });
    // SAFETY: initialised above, and not used after this.
    let _ = unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    // SAFETY: set when the thread was started.
    started.map(|()| unsafe { thread.assume_init() })
}

extern "C" fn serve(asked: *mut c_void) -> *mut c_void {
    // SAFETY: the raw form that `start` made for this thread.
    let asked = unsafe { Arc::from_raw(asked.cast::<Asked>().cast_const()) };
    asked.serve();
    ptr::null_mut()
}

fn check(error: i32) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

impl Asked {
    fn serve(&self) {
        while self.wait() {
            // To the file's end, whatever that is by now.
            let (all, flags) = (0, libc::SYNC_FILE_RANGE_WRITE);
            // SAFETY: on an open descriptor; touches no memory. What goes wrong the sync will tell.
            let _ = unsafe { libc::sync_file_range(self.file.as_raw_fd(), all, all, flags) };
        }
    }

    /// `false`: it is over.
    fn wait(&self) -> bool {
        let idle = |state: &mut State| !state.is_due && !state.is_over;
        let waited = self.changed.wait_while(self.lock(), idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_due = false;
        !state.is_over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
