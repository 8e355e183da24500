//! Messages for people while a command is running, on standard error.

use std::fmt;
use std::io::{Write, stderr};

/// Writes a line to standard error. If its reader has exited (`tlsboot run 2>&1 | head`), that is not an error of the
/// command, whose results are in files.
pub fn line(text: fmt::Arguments<'_>) {
    let _ = writeln!(stderr(), "{text}");
}

/// Writes a line to standard error, as `eprintln!` does; but if standard error is closed, nothing happens.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::say::line(format_args!($($text)*)) };
}
