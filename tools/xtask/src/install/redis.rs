//! Redis: `REDIS_SERVER`, else one on the PATH, else Debian's package, unpacked.

use std::path::PathBuf;

use anyhow::Result;

use super::debian::{DebianProgram, own};
use super::step::{announce, verify_version};
use crate::cache::Cache;

/// The variable that names a program of the developer's own.
pub(super) const REDIS_SERVER: &str = "REDIS_SERVER";
const NAME: &str = "redis-server";
const PROGRAM: DebianProgram<'_> = DebianProgram {
    packages: &["redis-server"],
    path: "usr/bin/redis-server",
    name: NAME,
    otherwise: "install Redis 6 or newer, or set REDIS_SERVER to the program",
};

pub(super) fn redis_server(cache: &Cache) -> Result<PathBuf> {
    if let Some(own) = own(REDIS_SERVER, &[NAME])? {
        return Ok(own);
    }
    let log = cache.root().join("redis-debian.log");
    let folder = cache.entry("redis-debian", &[NAME], |folder| {
        announce("Redis", "a download of 1.4 MB", folder);
        PROGRAM.unpack(folder, &log)?;
        verify_version(&folder.join(NAME), &["--version"], "Redis server")
    })?;
    Ok(folder.join(NAME))
}
