//! Which file is mapped at an address, asked within a signal handler: allocates nothing.
#![allow(unsafe_code, reason = "reads the kernel's list without the standard library's buffers")]

use std::ffi::CStr;

/// Bytes of a file's name that are told; of a longer one the end is missing.
pub const NAME_MAX: usize = 256;

const LIST: &CStr = c"/proc/self/maps";

/// What is known of the line that is being read.
struct Line {
    numbers: [usize; 2],
    /// Which of the line's parts: 0 and 1 the addresses, 2 to 5 others, 6 the name.
    part: usize,
    len: usize,
}

impl Line {
    const EMPTY: Self = Self { numbers: [0; 2], part: 0, len: 0 };

    fn take(&mut self, byte: u8, name: &mut [u8; NAME_MAX]) {
        match (self.part, byte) {
            (0, b'-') | (1..=4, b' ') => self.part += 1,
            (0 | 1, _) => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                self.numbers[self.part] = self.numbers[self.part] << 4 | digit as usize;
            }
            // Spaces before the name.
            (5, b'0'..=b'9') | (2..=4, _) | (5, b' ') => {}
            _ => {
                self.part = 6;
                if let Some(place) = name.get_mut(self.len) {
                    *place = byte;
                    self.len += 1;
                }
            }
        }
    }
}

/// The name of the file that is mapped at `address`, as far as it fits; `None` if there is none,
/// or nobody can tell.
pub fn file_mapped_at(address: usize, name: &mut [u8; NAME_MAX]) -> Option<&str> {
    // SAFETY: opens a file by a name that ends with a zero.
    let list = unsafe { libc::open(LIST.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if list < 0 {
        return None;
    }
    let len = search(list, address, name);
    // SAFETY: opened above, and not used any more.
    let _ = unsafe { libc::close(list) };
    let name = std::str::from_utf8(&name[..len?]).unwrap_or("?");
    name.starts_with('/').then_some(name)
}

fn search(list: libc::c_int, address: usize, name: &mut [u8; NAME_MAX]) -> Option<usize> {
    let mut line = Line::EMPTY;
    let mut bytes = [0_u8; 512];
    loop {
        // SAFETY: reads at most as many bytes as the buffer has.
        let got = unsafe { libc::read(list, bytes.as_mut_ptr().cast(), bytes.len()) };
        let got = usize::try_from(got).ok().filter(|&got| got > 0)?;
        for &byte in &bytes[..got] {
            if byte != b'\n' {
                line.take(byte, name);
                continue;
            }
            if (line.numbers[0]..line.numbers[1]).contains(&address) {
                return Some(line.len);
            }
            line = Line::EMPTY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn names_the_file() {
        let mut file = tempfile::Builder::new().prefix("a name ").tempfile().unwrap();
        file.write_all(&[1; 5000]).unwrap();
        // SAFETY: a file of this test's, which nobody else changes.
        let map = unsafe { memmap2::Mmap::map(file.as_file()) }.unwrap();
        let mut name = [0; NAME_MAX];
        let found = file_mapped_at(map.as_ptr().addr() + 4999, &mut name);
        assert_eq!(found, file.path().to_str());
        let plain = vec![0; 1 << 20];
        assert_eq!(file_mapped_at(plain.as_ptr().addr(), &mut name), None);
        assert_eq!(file_mapped_at(8, &mut name), None);
    }
}
