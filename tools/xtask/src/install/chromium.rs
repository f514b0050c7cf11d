//! Chromium for the browser tests: `CHROMIUM`, else one on the PATH, else Debian's package, unpacked.

use std::path::PathBuf;

use anyhow::Result;

use super::debian::{DebianProgram, own};
use super::step::{announce, verify_version};
use crate::cache::Cache;

/// The variable that names a program of the developer's own.
pub(super) const CHROMIUM: &str = "CHROMIUM";
const NAME: &str = "chromium";
const PROGRAM: DebianProgram<'_> = DebianProgram {
    // The fonts are for what the product's own typeface does not hold.
    packages: &["chromium", "fonts-dejavu-core"],
    path: "usr/lib/chromium/chromium",
    name: NAME,
    otherwise: "install Chromium or Chrome, or set CHROMIUM to the program",
};

pub(super) fn chromium(cache: &Cache) -> Result<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    if let Some(own) = own(CHROMIUM, &names)? {
        return Ok(own);
    }
    let log = cache.root().join("chromium-debian.log");
    let folder = cache.entry("chromium-debian", &[NAME], |folder| {
        announce("Chromium", "a download of about 120 MB", folder);
        PROGRAM.unpack(folder, &log)?;
        verify_version(&folder.join(NAME), &["--version"], "Chromium")
    })?;
    Ok(folder.join(NAME))
}
