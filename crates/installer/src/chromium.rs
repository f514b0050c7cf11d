//! Chromium for the browser tests: from `CHROMIUM`, from the PATH, or unpacked from Debian's
//! package.

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::Cache;
use crate::debian::{DebianProgram, external_program};
use crate::step::{announce, verify_version};

/// Names the developer's own program.
pub(crate) const CHROMIUM: &str = "CHROMIUM";
const NAME: &str = "chromium";
const PROGRAM: DebianProgram<'_> = DebianProgram {
    // The fonts have the characters that the app's own typeface lacks.
    packages: &["chromium", "fonts-dejavu-core"],
    path: "usr/lib/chromium/chromium",
    name: NAME,
    alternative: "install Chromium or Chrome, or set CHROMIUM to the program",
};

pub(crate) fn chromium(cache: &Cache) -> Result<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    if let Some(program) = external_program(CHROMIUM, &names)? {
        return Ok(program);
    }
    let log = cache.root().join("chromium-debian.log");
    let folder = cache.entry("chromium-debian", &[NAME], |folder| {
        announce("Chromium", "about 120 MB to download", folder);
        PROGRAM.unpack(folder, &log)?;
        verify_version(&folder.join(NAME), &["--version"], "Chromium")
    })?;
    Ok(folder.join(NAME))
}
