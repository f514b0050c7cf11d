//! Compares the documented architecture with the sources of all crates.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails on a missing file"
)]

mod imports;
mod layers;
mod module_map;
mod neon_facts;

use std::path::{Path, PathBuf};

/// The root of the workspace.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
