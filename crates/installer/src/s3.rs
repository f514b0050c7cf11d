//! versitygw, an S3 server that stores objects in a folder: from `VERSITYGW`, or built with Go.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cache::Cache;
use crate::step::{Step, announce, verify_version};
use crate::{environment_variable, require_go, tool};

/// Names the developer's own program.
pub(crate) const VERSITYGW: &str = "VERSITYGW";
const VERSION: &str = "v1.8.0";
const PACKAGE: &str = "github.com/versity/versitygw/cmd/versitygw";
const PROGRAM: &str = "versitygw";
/// Downloading and compiling takes a minute on 2 cores. The timeout allows for slow machines and
/// networks.
const BUILD_TIMEOUT: Duration = Duration::from_mins(20);
const GO_MISSING: &str =
    "install Go 1.26 or newer (https://go.dev/dl), or set VERSITYGW to the program";

pub(crate) fn versitygw(cache: &Cache) -> Result<PathBuf> {
    if let Some(program) = environment_variable(VERSITYGW).map(PathBuf::from) {
        verify_version(&program, &["--version"], "")
            .context("VERSITYGW is not usable; correct it or unset it")?;
        return Ok(program);
    }
    let entry = format!("versitygw-{VERSION}");
    let log = cache.root().join(format!("{entry}.log"));
    let folder = cache.entry(&entry, &[PROGRAM], |folder| build(folder, &log))?;
    Ok(folder.join(PROGRAM))
}

/// The package's name contains the version, and Go checks the download against its checksum
/// database.
fn build(folder: &Path, log: &Path) -> Result<()> {
    let go = tool(&["go"], GO_MISSING)?;
    require_go(&go, GO_MISSING)?;
    announce(
        &format!("versitygw {VERSION}, an S3 server"),
        "compiling takes a minute on 2 cores",
        folder,
    );
    let mut command = Command::new(go);
    command
        .args(["install", "-v", "-trimpath", "-ldflags"])
        .arg(format!("-s -w -X main.Version={VERSION}"))
        .arg(format!("{PACKAGE}@{VERSION}"))
        .current_dir(folder)
        .env("GOBIN", folder)
        .env("GOFLAGS", "")
        .env("GOWORK", "off");
    Step {
        title: "S3 server".into(),
        command,
        log,
        timeout: BUILD_TIMEOUT,
        describe: |lines| format!("{lines} packages"),
    }
    .run()?;
    verify_version(&folder.join(PROGRAM), &["--version"], VERSION)
}
