//! Embeds the SQL files of `tenant-migrations/` into the controller. New files need no
//! registration.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Relative to this crate.
const FOLDER: &str = "../tenant-migrations";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={FOLDER}");
    let root = env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?;
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(&root).join(FOLDER))?
        .map(|entry| entry?.path().canonicalize())
        .collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();

    let mut code = String::from("&[");
    for path in &files {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let path = path.to_string_lossy();
        // Writing to a String cannot fail.
        let _ = write!(code, "({name:?}, include_str!({path:?})),");
    }
    code.push(']');
    fs::write(Path::new(&out).join("tenant_migrations.rs"), code)
}
