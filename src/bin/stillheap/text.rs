//! What people read: sizes and tables as the library prints them, and times.

use std::time::{Duration, UNIX_EPOCH};
use stillheap::os::utc_text;

pub(crate) use stillheap::base::text::{Table, bytes, count};

/// Nanoseconds since 1970 in UTC.
pub(crate) fn time(nanoseconds: u64) -> String {
    utc_text(UNIX_EPOCH + Duration::from_nanos(nanoseconds))
}
