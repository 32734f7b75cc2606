//! The end, for mistakes that leave nothing else to do.
#![allow(unsafe_code, reason = "writes without the standard library's buffers")]

/// Ends the process with a message, without allocating.
pub fn fatal(message: &[&str]) -> ! {
    for part in message {
        // SAFETY: writes bytes of a string to standard error; whether it succeeds matters not.
        let _ = unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
    std::process::abort()
}

/// A number in hexadecimal digits, in memory of the caller's.
pub fn hex(number: usize, digits: &mut [u8; 16]) -> &str {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[rest % 16];
        rest /= 16;
    }
    std::str::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_right() {
        assert_eq!(super::hex(0x2000_0000_0abc, &mut [0; 16]), "0000200000000abc");
    }
}
