//! PDFs of other people's making, for the browser tests: three manuals of Debian, each written by another program.
//! `MANUALS_DIR` wins.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use super::step::announce;
use super::{debian, tool, variable};
use crate::cache::Cache;

/// The variable that names a folder with `fhs.pdf`, `policy.pdf` and `developers-reference.pdf`.
pub(super) const MANUALS_DIR: &str = "MANUALS_DIR";
const ENTRY: &str = "manuals-debian";
const PACKAGES: [&str; 2] = ["debian-policy", "developers-reference"];
/// Where each lies in its package, and what it is called here: by Apache FOP, XeTeX and pdfTeX.
const MANUALS: [(&str, &str); 3] = [
    ("usr/share/doc/debian-policy/fhs/fhs-3.0.pdf.gz", "fhs.pdf"),
    ("usr/share/doc/debian-policy/policy.pdf.gz", "policy.pdf"),
    (
        "usr/share/developers-reference/developers-reference.pdf",
        "developers-reference.pdf",
    ),
];

pub(super) fn manuals(cache: &Cache) -> Result<PathBuf> {
    if let Some(own) = variable(MANUALS_DIR).map(PathBuf::from) {
        return Ok(own);
    }
    let log = cache.root().join("manuals-debian.log");
    let needs = MANUALS.map(|(_, name)| name);
    cache.entry(ENTRY, &needs, |folder| {
        announce("three manuals as PDFs", "a download of 5 MB", folder);
        let root = folder.join("root");
        debian::files("manuals", &PACKAGES, &root, &log)?;
        for (path, name) in MANUALS {
            let (from, to) = (root.join(path), folder.join(name));
            if from.extension().is_some_and(|extension| extension == "gz") {
                let gzip = tool(&["gzip"], "the manuals are packed with it")?;
                let output = Command::new(gzip)
                    .args(["--decompress", "--stdout"])
                    .arg(&from)
                    .output()?;
                ensure!(output.status.success(), "cannot unpack {}", from.display());
                fs::write(to, output.stdout)?;
            } else {
                fs::rename(from, to)?;
            }
        }
        fs::remove_dir_all(root)?;
        Ok(())
    })
}
