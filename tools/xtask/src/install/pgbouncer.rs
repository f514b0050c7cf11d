//! What the data plane is measured against, and with: PgBouncer (`PGBOUNCER`, else one on the PATH, else Debian's package, unpacked)
//! and pgbench (`PGBENCH`, else one on the PATH that speaks TLS, else from the registry's package that psql comes from).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::debian::{DebianProgram, own};
use super::psql;
use super::step::{announce, verify_version};
use super::{tool, variable};
use crate::cache::Cache;

/// The variable that names a PgBouncer of the developer's own.
pub(super) const PGBOUNCER: &str = "PGBOUNCER";
/// The same for pgbench.
pub(super) const PGBENCH: &str = "PGBENCH";
const NAME: &str = "pgbouncer";
const PROGRAM: DebianProgram<'_> = DebianProgram {
    packages: &[NAME],
    path: "usr/sbin/pgbouncer",
    name: NAME,
    otherwise: "install PgBouncer 1.18 or newer, or set PGBOUNCER to the program",
};
/// Nothing listens there: pgbench says whether it can do TLS before it says that.
const NOWHERE: &str = "host=127.0.0.1 port=1 sslmode=require connect_timeout=2";

pub(super) fn pgbouncer(cache: &Cache) -> Result<PathBuf> {
    if let Some(own) = own(PGBOUNCER, &[NAME])? {
        return Ok(own);
    }
    let log = cache.root().join("pgbouncer-debian.log");
    let folder = cache.entry("pgbouncer-debian", &[NAME], |folder| {
        announce("PgBouncer", "a download of 0.3 MB", folder);
        PROGRAM.unpack(folder, &log)?;
        verify_version(&folder.join(NAME), &["--version"], "PgBouncer")
    })?;
    Ok(folder.join(NAME))
}

pub(super) fn pgbench(cache: &Cache) -> Result<PathBuf> {
    if let Some(own) = variable(PGBENCH).map(PathBuf::from) {
        verify_version(&own, &["--version"], "pgbench")
            .context("PGBENCH cannot be used; correct it or unset it")?;
        if !speaks_tls(&own) {
            bail!(
                "PGBENCH names {}, which is built without TLS; correct it or unset it",
                own.display()
            );
        }
        return Ok(own);
    }
    if let Ok(found) = tool(&["pgbench"], "")
        && speaks_tls(&found)
    {
        return Ok(found);
    }
    psql::pgbench(cache)
}

fn speaks_tls(pgbench: &Path) -> bool {
    let output = Command::new(pgbench)
        .args(["--no-vacuum", NOWHERE])
        .output();
    output.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains(psql::WITHOUT_TLS))
}
