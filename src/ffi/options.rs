//! Options for opening, as C code makes them.
#![allow(unsafe_code, reason = "functions for C read and write where it says")]

use crate::ffi::calls::{coded, pointed};
use crate::ffi::events::{CEventCallback, Listener};
use crate::ffi::failure::Failure;
use crate::runtime::fit_signal;
use crate::{Compression, Options, ProcessHeap, Restore};
use std::ffi::{c_int, c_void};
use std::time::Duration;

/// Options and the address for which they are.
#[derive(Clone, Debug, Default)]
pub struct COptions {
    pub(super) options: Options,
    pub(super) base: Option<usize>,
}

/// New options; null on failure. To be given back by `stillheap_options_free`.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_options_new() -> *mut COptions {
    pointed(|| Ok(Box::into_raw(Box::default())))
}

/// Gives options back. Null is fine.
///
/// # Safety
/// They are null or from `stillheap_options_new`, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_options_free(options: *mut COptions) {
    if !options.is_null() {
        // SAFETY: says the caller.
        drop(unsafe { Box::from_raw(options) });
    }
}

/// # Safety
/// They are null or from `stillheap_options_new`, and nobody else uses them meanwhile.
unsafe fn change(
    options: *mut COptions,
    change: impl FnOnce(Options) -> Result<Options, Failure>,
) -> c_int {
    coded(|| {
        // SAFETY: says the caller.
        let place = unsafe { options.as_mut() };
        let place = place.ok_or_else(|| Failure::invalid("the options are null"))?;
        place.options = change(place.options.clone())?;
        Ok(())
    })
}

/// Declares functions that set one thing.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($($value:ident: $ty:ty),*) => $change:expr;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            /// The options are null or from `stillheap_options_new`, and nobody else uses them
            /// meanwhile.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(options: *mut COptions, $($value: $ty),*) -> c_int {
                let set: fn(Options, $($ty),*) -> Result<Options, Failure> = $change;
                // SAFETY: says the caller.
                unsafe { change(options, |options| set(options, $($value),*)) }
            }
        )*
    };
}

setters! {
    /// Whether a heap is made where there is none.
    stillheap_options_create(create: c_int) => |options, create| Ok(options.create(create != 0));
    /// A snapshot after so many operations; 0: never.
    stillheap_options_snapshot_every_ops(operations: u64) =>
        |options, operations| Ok(options.snapshot_every_ops(operations));
    /// A snapshot when so many bytes have been dirtied; 0: never.
    stillheap_options_snapshot_every_bytes(bytes: u64) =>
        |options, bytes| Ok(options.snapshot_every_bytes(bytes));
    /// A snapshot after so many milliseconds; 0: never.
    stillheap_options_snapshot_every_ms(milliseconds: u64) =>
        |options, milliseconds| Ok(options.snapshot_every(Duration::from_millis(milliseconds)));
    /// A snapshot when the process receives the signal.
    stillheap_options_snapshot_on_signal(signal: c_int) =>
        |options, signal| {
            fit_signal(signal)?;
            Ok(options.snapshot_on_signal(signal))
        };
    /// How many bytes writers may copy aside.
    stillheap_options_stage_bytes(bytes: u64) => |options, bytes| Ok(options.stage_bytes(bytes));
    /// How many snapshots stay.
    stillheap_options_keep(snapshots: u64) =>
        |options, snapshots| Ok(options.keep(usize::try_from(snapshots).unwrap_or(usize::MAX)));
    /// How long snapshots stay, in milliseconds.
    stillheap_options_keep_for_ms(milliseconds: u64) =>
        |options, milliseconds| Ok(options.keep_for(Duration::from_millis(milliseconds)));
    /// Whether an independent snapshot stays.
    stillheap_options_spare(spare: c_int) => |options, spare| Ok(options.spare(spare != 0));
    /// Whether snapshots are written as what has changed.
    stillheap_options_increments(increments: c_int) =>
        |options, increments| Ok(options.increments(increments != 0));
    /// How snapshots are compressed: those of all, those of what has changed.
    stillheap_options_compression(full: c_int, increments: c_int) =>
        |options, full, increments| {
            Ok(options.compression(compression(full)?, compression(increments)?))
        };
    /// Which snapshot to restore.
    stillheap_options_open_at(number: u64) => |options, number| Ok(options.open_at(number));
    /// How it comes back.
    stillheap_options_restore(how: c_int) => |options, how| {
        let how = match how {
            0 => Restore::Verified,
            1 => Restore::Background,
            2 => Restore::Load,
            _ => return Err(Failure::invalid(format_args!("there is no way {how} to restore"))),
        };
        Ok(options.restore(how))
    };
    /// How many bytes a second are verified in the background; 0: none.
    stillheap_options_scrub(bytes: u64) => |options, bytes| Ok(options.scrub(bytes));
    /// Whether what earlier runs left behind is freed.
    stillheap_options_sweep(sweep: c_int) => |options, sweep| Ok(options.sweep(sweep != 0));
    /// Whether writes to tracked memory that are not announced end the process.
    stillheap_options_check_tracked(check: c_int) =>
        |options, check| Ok(options.check_tracked(check != 0));
}

/// 0: none, -1: LZ4, 1 to 22: Zstandard at that level.
fn compression(number: c_int) -> Result<Compression, Failure> {
    match number {
        0 => Ok(Compression::None),
        -1 => Ok(Compression::Lz4),
        1..=22 if cfg!(feature = "zstd") => Ok(Compression::Zstd(number)),
        1..=22 => Err(Failure::invalid(
            "this library was built without Zstandard: build it with the feature zstd, too",
        )),
        _ => Err(Failure::invalid(format_args!("there is no compression {number}"))),
    }
}

/// At which address the heap lies.
///
/// # Safety
/// As for the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_options_base(options: *mut COptions, base: u64) -> c_int {
    coded(|| {
        let address = usize::try_from(base).unwrap_or(0);
        if !ProcessHeap::can_be_at(address) {
            return Err(Failure::invalid(format_args!(
                "0x{base:x} cannot be the heap's address: a multiple of 64 MiB, not 0, at most \
                 2^47 - 2^44"
            )));
        }
        // SAFETY: says the caller.
        let place = unsafe { options.as_mut() };
        let place = place.ok_or_else(|| Failure::invalid("the options are null"))?;
        place.base = Some(address);
        Ok(())
    })
}

/// What is called for each event; null: serious ones are printed.
///
/// # Safety
/// As for the others; and the function may be called by any thread while the heap is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_options_on_event(
    options: *mut COptions,
    callback: Option<CEventCallback>,
    user: *mut c_void,
) -> c_int {
    let set = |options: Options| {
        Ok(match callback {
            Some(call) => {
                let listener = Listener { call, user };
                options.on_event(move |event| listener.hear(event))
            }
            None => options.no_event(),
        })
    };
    // SAFETY: says the caller.
    unsafe { change(options, set) }
}
