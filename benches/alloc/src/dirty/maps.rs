//! The process's writable private mappings, stacks left out, read without an allocation.

use super::aside;
use crate::Error;
use std::fs::File;
use std::io::{Read, Seek};
use std::ops::Range;

/// Room for the kernel's list.
const BYTES: usize = 4 << 20;

pub(super) struct Maps {
    file: File,
    text: &'static mut [u8],
}

impl Maps {
    pub(super) fn open() -> Result<Self, Error> {
        Ok(Self { file: File::open("/proc/self/maps")?, text: aside::slice(BYTES, |_| 0)? })
    }

    /// Calls `each` for every one there is now, in the order of their addresses.
    pub(super) fn for_each(
        &mut self,
        mut each: impl FnMut(Range<usize>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.file.rewind()?;
        let mut len = 0;
        loop {
            match self.file.read(&mut self.text[len..])? {
                0 if len == BYTES => return Err("the list of mappings is too long".into()),
                0 => break,
                more => len += more,
            }
        }
        for line in str::from_utf8(&self.text[..len])?.lines() {
            if let Some(range) = watched(line) {
                each(range)?;
            }
        }
        Ok(())
    }
}

/// `start-end rwxp offset device inode name`.
fn watched(line: &str) -> Option<Range<usize>> {
    let mut parts = line.split_ascii_whitespace();
    let (start, end) = parts.next()?.split_once('-')?;
    let is_watched = parts
        .next()?
        .as_bytes()
        .get(1..4)
        .is_some_and(|rights| rights[0] == b'w' && rights[2] == b'p');
    let is_stack = parts.nth(3) == Some("[stack]");
    let address = |text| usize::from_str_radix(text, 16).ok();
    (is_watched && !is_stack).then_some(address(start)?..address(end)?)
}
