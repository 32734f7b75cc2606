//! Faults and announcements: what `open` sets up so that writes are noticed from then on, and that
//! lost memory is told.

use crate::cow::Fault;
use crate::os::{self, SignalsBlocked, bus, segv, signals};
use crate::runtime::Options;
use crate::runtime::process::{self, Process};
use std::io;

/// Has refused writes handled: to be called before any memory is protected.
///
/// # Errors
/// If the system does not take a signal handler.
pub(super) fn catch() -> io::Result<()> {
    segv::install(on_write_fault)
}

/// Has faults come through in the calling thread, and in those that it starts.
#[cfg(feature = "capi")]
pub(crate) fn let_faults_through() {
    segv::unblock();
}

/// Has the process end with a message if the system cannot give what is mapped: to be called
/// before a snapshot is.
///
/// # Errors
/// As [`catch`].
pub(super) fn tell_lost_memory() -> io::Result<()> {
    bus::install(on_lost_memory)
}

/// Begins to heed announcements: to be called before an image's tables come in, for what is
/// changed in them counts.
pub(super) fn engage(process: &'static Process) {
    let _blocked = SignalsBlocked::new();
    let closed = process.gate.close(|| process.heap.passes());
    process.heap.arena().cow().engage();
    drop(closed);
}

/// Sets up what the barrier and signals trigger.
///
/// # Errors
/// If the system does not take a signal handler.
pub(super) fn set_up(process: &'static Process, options: &Options) -> io::Result<()> {
    let engine = process.heap.arena().cow();
    engine.set_dirty_threshold(options.snapshot_every_bytes.unwrap_or(0));
    engine.set_checked(options.check_tracked);
    match options.snapshot_on_signal {
        Some(signal) => signals::on_signal(signal, want_snapshot),
        None => Ok(()),
    }
}

/// Runs in the signal handler: allocates nothing, takes no lock.
fn on_write_fault(address: usize) -> bool {
    let Some(process) = process::get() else { return false };
    match process.heap.arena().cow().on_write_fault(address) {
        Fault::Handled => true,
        Fault::Foreign => false,
        Fault::Undeclared => {
            let mut digits = [0; 16];
            os::fatal(&[
                "stillheap: a write to tracked memory at 0x",
                os::hex(address, &mut digits),
                " was not announced: only `Tracked::write` and the like may change such memory\n",
            ])
        }
    }
}

/// Runs in the signal handler.
fn on_lost_memory(address: usize) {
    let Some(process) = process::get() else { return };
    if process.heap.arena().maps(address) {
        let mut digits = [0; 16];
        os::fatal(&[
            "stillheap: the system cannot give the heap's memory at 0x",
            os::hex(address, &mut digits),
            ": the disk does not give that page of the snapshot, or its file was cut short, or \
             memory has failed. `stillheap verify` names the file and the place\n",
        ])
    }
    let mut name = [0; os::FILE_NAME_MAX];
    if let Some(file) = os::file_mapped_at(address, &mut name).filter(|file| is_segment(file)) {
        os::fatal(&[
            "stillheap: the system cannot give a part of ",
            file,
            ", which is mapped: the disk does not give it, or the file was cut short. \
             `stillheap verify` tells the place\n",
        ])
    }
}

/// Whether a file has the name of a segment.
fn is_segment(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let number = name.strip_suffix(".full").or_else(|| name.strip_suffix(".delta"));
    number.is_some_and(|number| number.len() == 10 && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Runs in a signal handler.
fn want_snapshot() {
    if let Some(process) = process::get()
        && !process.opened.is_forked()
    {
        process.opened.want();
        process.heap.arena().cow().bell().ring();
    }
}
