//! Real-world PDFs for the browser tests: three Debian manuals, each produced by a different
//! program. `MANUALS_DIR` takes precedence.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::cache::Cache;
use crate::step::announce;
use crate::{debian, environment_variable, tool};

/// Names a folder with `fhs.pdf`, `policy.pdf` and `developers-reference.pdf`.
pub(crate) const MANUALS_DIR: &str = "MANUALS_DIR";
const ENTRY: &str = "manuals-debian";
const PACKAGES: [&str; 2] = ["debian-policy", "developers-reference"];
/// The path of each in its package and its file name here. They were made by Apache FOP, XeTeX and
/// pdfTeX.
const MANUALS: [(&str, &str); 3] = [
    ("usr/share/doc/debian-policy/fhs/fhs-3.0.pdf.gz", "fhs.pdf"),
    ("usr/share/doc/debian-policy/policy.pdf.gz", "policy.pdf"),
    (
        "usr/share/developers-reference/developers-reference.pdf",
        "developers-reference.pdf",
    ),
];

pub(crate) fn manuals(cache: &Cache) -> Result<PathBuf> {
    if let Some(folder) = environment_variable(MANUALS_DIR).map(PathBuf::from) {
        return Ok(folder);
    }
    let log = cache.root().join("manuals-debian.log");
    let required = MANUALS.map(|(_, name)| name);
    cache.entry(ENTRY, &required, |folder| {
        announce("three manuals as PDFs", "5 MB to download", folder);
        let root = folder.join("root");
        debian::files("manuals", &PACKAGES, &root, &log)?;
        for (path, name) in MANUALS {
            let (from, to) = (root.join(path), folder.join(name));
            if from.extension().is_some_and(|extension| extension == "gz") {
                let gzip = tool(&["gzip"], "gzip decompresses the manuals")?;
                let output = Command::new(gzip)
                    .args(["--decompress", "--stdout"])
                    .arg(&from)
                    .output()?;
                ensure!(
                    output.status.success(),
                    "failed to decompress {}",
                    from.display()
                );
                fs::write(to, output.stdout)?;
            } else {
                fs::rename(from, to)?;
            }
        }
        fs::remove_dir_all(root)?;
        Ok(())
    })
}
