//! Redis: from `REDIS_SERVER`, from the PATH, or unpacked from Debian's package.

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::Cache;
use crate::debian::{DebianProgram, external_program};
use crate::step::{announce, verify_version};

/// Names the developer's own program.
pub(crate) const REDIS_SERVER: &str = "REDIS_SERVER";
const NAME: &str = "redis-server";
const PROGRAM: DebianProgram<'_> = DebianProgram {
    packages: &["redis-server"],
    path: "usr/bin/redis-server",
    name: NAME,
    alternative: "install Redis 6 or newer, or set REDIS_SERVER to the program",
};

pub(crate) fn redis_server(cache: &Cache) -> Result<PathBuf> {
    if let Some(program) = external_program(REDIS_SERVER, &[NAME])? {
        return Ok(program);
    }
    let log = cache.root().join("redis-debian.log");
    let folder = cache.entry("redis-debian", &[NAME], |folder| {
        announce("Redis", "1.4 MB to download", folder);
        PROGRAM.unpack(folder, &log)?;
        verify_version(&folder.join(NAME), &["--version"], "Redis server")
    })?;
    Ok(folder.join(NAME))
}
