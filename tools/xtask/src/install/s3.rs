//! versitygw, an S3 server over a folder: `VERSITYGW` wins, else it is built with Go.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::step::{Step, announce, verify_version};
use super::{require_go, tool, variable};
use crate::cache::Cache;

/// The variable that names a program of the developer's own.
pub(super) const VERSITYGW: &str = "VERSITYGW";
const VERSION: &str = "v1.8.0";
const PACKAGE: &str = "github.com/versity/versitygw/cmd/versitygw";
const PROGRAM: &str = "versitygw";
/// Downloading and compiling takes a minute on 2 cores; this is for slow machines and slow networks.
const BUILD_LIMIT: Duration = Duration::from_mins(20);
const GO_MISSING: &str =
    "install Go 1.26 or newer (https://go.dev/dl), or set VERSITYGW to the program";

pub(super) fn versitygw(cache: &Cache) -> Result<PathBuf> {
    if let Some(own) = variable(VERSITYGW).map(PathBuf::from) {
        verify_version(&own, &["--version"], "")
            .context("VERSITYGW cannot be used; correct it or unset it")?;
        return Ok(own);
    }
    let entry = format!("versitygw-{VERSION}");
    let log = cache.root().join(format!("{entry}.log"));
    let folder = cache.entry(&entry, &[PROGRAM], |folder| build(folder, &log))?;
    Ok(folder.join(PROGRAM))
}

/// The version stands in the package's name, and Go's checksum database vouches for what it names.
fn build(folder: &Path, log: &Path) -> Result<()> {
    let go = tool(&["go"], GO_MISSING)?;
    require_go(&go, GO_MISSING)?;
    announce(
        &format!("versitygw {VERSION}, an S3 server"),
        "it is compiled, which takes a minute on 2 cores",
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
        title: format!("versitygw {VERSION}: download and compile"),
        command,
        log,
        limit: BUILD_LIMIT,
        describe: |lines| format!("{lines} modules and packages so far"),
    }
    .run()?;
    verify_version(&folder.join(PROGRAM), &["--version"], VERSION)
}
