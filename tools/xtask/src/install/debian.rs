//! Programs of Debian without root: packages are downloaded with apt, together with what they need that is not installed,
//! and unpacked into a folder; a small script starts the program with the libraries found there.
//!
//! Debian's archive keeps only the newest version of a package, so these are not pinned: apt checks what it
//! downloads against the archive's signature.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::step::Step;
use super::tool;
use crate::cache::is_root;

/// The longest is Chromium with its libraries, 120 MB; this is for slow networks.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(20);
/// Where the packages are unpacked within the entry.
const ROOT: &str = "root";

/// A program that Debian has.
pub(super) struct DebianProgram<'a> {
    /// The packages that hold it, without what they depend on.
    pub(super) packages: &'a [&'a str],
    /// The program's path within them.
    pub(super) path: &'a str,
    /// What the script that starts it is called.
    pub(super) name: &'a str,
    /// What to do where there is no apt.
    pub(super) otherwise: &'a str,
}

impl DebianProgram<'_> {
    /// Fills `folder`: the packages, and the script `name`.
    pub(super) fn unpack(&self, folder: &Path, log: &Path) -> Result<()> {
        tool(&["apt-get"], self.otherwise)?;
        let wanted = self.wanted(log)?;
        fetch(self.name, &wanted, &folder.join(ROOT), log)?;
        self.write_script(folder)
    }

    /// The packages and those they need which are not installed.
    fn wanted(&self, log: &Path) -> Result<Vec<String>> {
        let unknown = match self.simulated() {
            Ok(wanted) => return Ok(wanted),
            Err(error) => error,
        };
        update(log).map_err(|_| {
            unknown.context(format!(
                "apt does not know the packages of {}: run `apt-get update` as root, or {}",
                self.name, self.otherwise
            ))
        })?;
        self.simulated()
    }

    fn simulated(&self) -> Result<Vec<String>> {
        let output = Command::new("apt-get")
            .args(["install", "--print-uris", "--yes"])
            .arg("--no-install-recommends")
            .args(self.packages)
            .output()
            .context("cannot run apt-get")?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let mut wanted = packages(&said);
        // A package that is installed, but without the program on the PATH, is unpacked all the same.
        for package in self.packages {
            if !wanted.iter().any(|known| known == package) {
                wanted.push((*package).to_owned());
            }
        }
        Ok(wanted)
    }

    /// The program is started where it lies, with the unpacked libraries before the system's.
    fn write_script(&self, folder: &Path) -> Result<()> {
        let text = format!(
            "#!/bin/sh\n\
             # Starts {name} from the packages unpacked beside this script.\n\
             root=$(dirname \"$(readlink -f \"$0\")\")/{ROOT}\n\
             for folder in \"$root\"/lib/*-linux-gnu \"$root\"/usr/lib/*-linux-gnu \"$root\"/usr/lib/*-linux-gnu/*; do\n\
             \t[ -d \"$folder\" ] && libraries=${{libraries:+$libraries:}}$folder\n\
             done\n\
             export LD_LIBRARY_PATH=\"$libraries${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\"\n\
             # Fonts: the system's settings where it has any, else the unpacked ones.\n\
             [ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_SYSROOT=\"$root\"\n\
             exec \"$root/{path}\" \"$@\"\n",
            name = self.name,
            path = self.path,
        );
        let script = folder.join(self.name);
        fs::write(&script, text)?;
        fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

/// Downloads packages, without what they depend on, and unpacks them into `root`.
fn fetch(what: &str, packages: &[String], root: &Path, log: &Path) -> Result<()> {
    let dpkg = tool(&["dpkg"], "packages are unpacked with it")?;
    let archives = root.with_extension("archives");
    fs::create_dir(&archives)?;
    let mut command = Command::new("apt-get");
    command
        // As root apt would download as a user of its own, who cannot write here.
        .args(["--option", "APT::Sandbox::User=root", "download"])
        .args(packages)
        .current_dir(&archives);
    Step {
        title: format!("{what}: download {} packages", packages.len()),
        command,
        log,
        limit: DOWNLOAD_LIMIT,
        describe: |lines| format!("{lines} so far"),
    }
    .run()?;
    fs::create_dir(root)?;
    for archive in fs::read_dir(&archives)? {
        let archive = archive?.path();
        let output = Command::new(&dpkg)
            .arg("--extract")
            .arg(&archive)
            .arg(root)
            .output()?;
        ensure!(
            output.status.success(),
            "cannot unpack {}: {}",
            archive.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    fs::remove_dir_all(archives)?;
    Ok(())
}

/// Packages of files alone: unpacked into `root`.
pub(super) fn files(what: &str, packages: &[&str], root: &Path, log: &Path) -> Result<()> {
    let otherwise = "these files come from Debian's packages";
    tool(&["apt-get"], otherwise)?;
    let packages: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
    let known = Command::new("apt-cache")
        .args(["policy"])
        .args(&packages)
        .output()
        .is_ok_and(|output| {
            let candidates = String::from_utf8_lossy(&output.stdout);
            candidates.matches("Candidate: ").count() == packages.len()
                && !candidates.contains("Candidate: (none)")
        });
    if !known {
        update(log)?;
    }
    fetch(what, &packages, root, log)
}

/// Images come without lists of packages; only root can fetch them.
fn update(log: &Path) -> Result<()> {
    if !is_root()? {
        bail!("run `apt-get update` as root");
    }
    let mut command = Command::new("apt-get");
    command.arg("update");
    Step {
        title: "apt-get update".into(),
        command,
        log,
        limit: DOWNLOAD_LIMIT,
        describe: |_| "lists of packages".into(),
    }
    .run()
}

/// The packages that `apt-get --print-uris` names: lines such as `'https://..' redis-tools_5%3a7.0_amd64.deb 991988 ..`.
fn packages(said: &str) -> Vec<String> {
    said.lines()
        .filter(|line| line.starts_with('\''))
        .filter_map(|line| line.split(' ').nth(1)?.split('_').next())
        .map(str::to_owned)
        .collect()
}

/// A program of the developer's own, by a variable or on the PATH.
pub(super) fn own(variable: &str, names: &[&str]) -> Result<Option<PathBuf>> {
    if let Some(own) = super::variable(variable).map(PathBuf::from) {
        super::step::verify_version(&own, &["--version"], "")
            .with_context(|| format!("{variable} cannot be used; correct it or unset it"))?;
        return Ok(Some(own));
    }
    Ok(tool(names, "").ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_are_read_from_what_apt_says() {
        let said = "Reading package lists...\nNeed to get 1351 kB of archives.\n\
            'http://archive/pool/r/redis-tools_7.0.15-1_amd64.deb' redis-tools_5%3a7.0.15-1_amd64.deb 991988 \n\
            'http://archive/pool/l/liblzf1_3.6-3_amd64.deb' liblzf1_3.6-3_amd64.deb 10192 MD5Sum:698d\n";
        assert_eq!(packages(said), ["redis-tools", "liblzf1"]);
        assert!(packages("chromium is already the newest version.").is_empty());
    }
}
