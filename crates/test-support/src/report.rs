//! What a run of tests prints and keeps.

use std::io::Write as _;

/// If this variable is set, clusters keep their folders with the logs.
pub(crate) const KEEP_FOLDERS: &str = "E2E_KEEP";

/// Prints a report to standard error, in one piece.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
