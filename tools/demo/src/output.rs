//! The results of the demo.

use std::io::Write as _;

use anyhow::{Context as _, Result};

/// Prints results to standard output; progress goes to standard error.
pub(crate) fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("failed to write to standard output")
}
