//! Real-world PDFs from Debian packages: three manuals for the browser tests, and twelve for the
//! questions of `tests/retrieval`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::cache::Cache;
use crate::step::announce;
use crate::{debian, environment_variable, tool};

/// Names a folder with `fhs.pdf`, `policy.pdf` and `developers-reference.pdf`.
pub(crate) const MANUALS_DIR: &str = "MANUALS_DIR";

/// Manuals that are downloaded together.
struct Manuals {
    entry: &'static str,
    packages: &'static [&'static str],
    what: &'static str,
    size: &'static str,
    /// The path of each in its package and its file name here.
    files: &'static [(&'static str, &'static str)],
}

/// They were made by Apache FOP, XeTeX and pdfTeX.
const FOR_BROWSER_TESTS: Manuals = Manuals {
    entry: "manuals-debian",
    packages: &["debian-policy", "developers-reference"],
    what: "three manuals as PDFs",
    size: "5 MB to download",
    files: &[
        ("usr/share/doc/debian-policy/fhs/fhs-3.0.pdf.gz", "fhs.pdf"),
        ("usr/share/doc/debian-policy/policy.pdf.gz", "policy.pdf"),
        (
            "usr/share/developers-reference/developers-reference.pdf",
            "developers-reference.pdf",
        ),
    ],
};

const WITH_QUESTIONS: Manuals = Manuals {
    entry: "manuals-with-questions-debian",
    packages: &[
        "debian-faq",
        "debian-policy",
        "developers-reference",
        "installation-guide-amd64",
        "octave-doc",
        "r-doc-pdf",
    ],
    what: "twelve manuals as PDFs",
    size: "40 MB to download",
    files: &[
        (
            "usr/share/doc/debian-policy/fhs/fhs-3.0.pdf.gz",
            "fhs-3.0.pdf",
        ),
        ("usr/share/doc/debian-policy/policy.pdf.gz", "policy.pdf"),
        (
            "usr/share/developers-reference/developers-reference.pdf",
            "developers-reference.pdf",
        ),
        (
            "usr/share/doc/debian/FAQ/debian-faq.en.pdf.gz",
            "debian-faq.pdf",
        ),
        (
            "usr/share/doc/installation-guide-amd64/en/install.en.pdf.gz",
            "install.en.pdf",
        ),
        ("usr/share/doc/octave/liboctave.pdf.gz", "liboctave.pdf"),
        ("usr/share/R/doc/manual/R-admin.pdf", "R-admin.pdf"),
        ("usr/share/R/doc/manual/R-data.pdf", "R-data.pdf"),
        ("usr/share/R/doc/manual/R-FAQ.pdf", "R-FAQ.pdf"),
        ("usr/share/R/doc/manual/R-intro.pdf", "R-intro.pdf"),
        ("usr/share/R/doc/manual/R-ints.pdf", "R-ints.pdf"),
        ("usr/share/R/doc/manual/R-lang.pdf", "R-lang.pdf"),
    ],
};

pub(crate) fn manuals(cache: &Cache) -> Result<PathBuf> {
    match environment_variable(MANUALS_DIR) {
        Some(folder) => Ok(folder.into()),
        None => FOR_BROWSER_TESTS.install(cache),
    }
}

pub(crate) fn manuals_with_questions(cache: &Cache) -> Result<PathBuf> {
    WITH_QUESTIONS.install(cache)
}

impl Manuals {
    fn install(&self, cache: &Cache) -> Result<PathBuf> {
        let log = cache.root().join(format!("{}.log", self.entry));
        let required: Vec<&str> = self.files.iter().map(|(_, name)| *name).collect();
        cache.entry(self.entry, &required, |folder| {
            announce(self.what, self.size, folder);
            let root = folder.join("root");
            debian::files("manuals", self.packages, &root, &log)?;
            for (path, name) in self.files {
                unpack(&root.join(path), &folder.join(name))?;
            }
            fs::remove_dir_all(root)?;
            Ok(())
        })
    }
}

/// Moves a file, and decompresses it if its name ends in `.gz`. Packages compress some of their
/// files depending on their size, so the name may also lack that end.
fn unpack(from: &Path, to: &Path) -> Result<()> {
    if from.extension().is_none_or(|extension| extension != "gz") {
        fs::rename(from, to)?;
        return Ok(());
    }
    if !from.is_file() {
        fs::rename(from.with_extension(""), to)?;
        return Ok(());
    }
    let gzip = tool(&["gzip"], "gzip decompresses the manuals")?;
    let output = Command::new(gzip)
        .args(["--decompress", "--stdout"])
        .arg(from)
        .output()?;
    ensure!(
        output.status.success(),
        "failed to decompress {}",
        from.display()
    );
    fs::write(to, output.stdout)?;
    Ok(())
}
