//! Installs Debian packages without root: downloads them and their missing dependencies with apt,
//! and unpacks them into a folder. A small script starts the program with the unpacked libraries.
//!
//! Debian's archive keeps only the newest version of a package, so versions are not pinned. apt
//! checks each download against the archive's signature.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cache::is_root;
use crate::step::{Step, verify_version};
use crate::tool;

/// The largest download is Chromium with its libraries, 120 MB. The timeout allows for slow
/// networks.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(20);
/// The folder within the cache entry that packages are unpacked into.
const ROOT: &str = "root";

pub(crate) struct DebianProgram<'a> {
    /// The packages that contain the program, without their dependencies.
    pub(crate) packages: &'a [&'a str],
    /// The program's path within the packages.
    pub(crate) path: &'a str,
    /// The file name of the script that starts the program.
    pub(crate) name: &'a str,
    /// What to do on a machine without apt; part of an error message.
    pub(crate) alternative: &'a str,
}

impl DebianProgram<'_> {
    /// Unpacks the packages into `folder` and writes the script `name`.
    pub(crate) fn unpack(&self, folder: &Path, log: &Path) -> Result<()> {
        tool(&["apt-get"], self.alternative)?;
        let packages = self.missing_packages(log)?;
        download(self.name, &packages, &folder.join(ROOT), log)?;
        self.write_script(folder)
    }

    /// The packages and those of their dependencies that are not installed.
    fn missing_packages(&self, log: &Path) -> Result<Vec<String>> {
        let unknown = match self.simulate_install() {
            Ok(packages) => return Ok(packages),
            Err(error) => error,
        };
        update(log).map_err(|_| {
            unknown.context(format!(
                "apt does not know the packages of {}: run `apt-get update` as root, or {}",
                self.name, self.alternative
            ))
        })?;
        self.simulate_install()
    }

    fn simulate_install(&self) -> Result<Vec<String>> {
        let output = Command::new("apt-get")
            .args(["install", "--print-uris", "--yes"])
            .arg("--no-install-recommends")
            .args(self.packages)
            .output()
            .context("failed to run apt-get")?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let mut packages = parse_packages(&stdout);
        // A package that is installed although its program is not on the PATH is unpacked as well.
        for package in self.packages {
            if !packages.iter().any(|known| known == package) {
                packages.push((*package).to_owned());
            }
        }
        Ok(packages)
    }

    /// The script puts the unpacked libraries before the system's.
    fn write_script(&self, folder: &Path) -> Result<()> {
        let text = format!(
            "#!/bin/sh\n\
             # Starts {name} from the packages that are unpacked next to this script.\n\
             root=$(dirname \"$(readlink -f \"$0\")\")/{ROOT}\n\
             for folder in \"$root\"/lib/*-linux-gnu \"$root\"/usr/lib/*-linux-gnu \"$root\"/usr/lib/*-linux-gnu/*; do\n\
             \t[ -d \"$folder\" ] && libraries=${{libraries:+$libraries:}}$folder\n\
             done\n\
             export LD_LIBRARY_PATH=\"$libraries${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\"\n\
             # Use the system's font configuration if there is one.\n\
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

/// Downloads packages without their dependencies and unpacks them into `root`.
fn download(what: &str, packages: &[String], root: &Path, log: &Path) -> Result<()> {
    let dpkg = tool(&["dpkg"], "dpkg unpacks the downloaded packages")?;
    let archives = root.with_extension("archives");
    fs::create_dir(&archives)?;
    let mut command = Command::new("apt-get");
    command
        // For root, apt would otherwise download as the user `_apt`, who cannot write into this
        // folder.
        .args(["--option", "APT::Sandbox::User=root", "download"])
        .args(packages)
        .current_dir(&archives);
    Step {
        title: format!("{what}: downloading {} packages", packages.len()),
        command,
        log,
        timeout: DOWNLOAD_TIMEOUT,
        describe: |lines| format!("{lines} done"),
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
            "failed to unpack {}: {}",
            archive.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    fs::remove_dir_all(archives)?;
    Ok(())
}

/// Unpacks packages that contain only data files into `root`.
pub(crate) fn files(what: &str, packages: &[&str], root: &Path, log: &Path) -> Result<()> {
    tool(&["apt-get"], "these files come from Debian's packages")?;
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
    download(what, &packages, root, log)
}

/// Fetches the package lists, which container images lack. Only root can do that.
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
        timeout: DOWNLOAD_TIMEOUT,
        describe: |_| "fetching package lists".into(),
    }
    .run()
}

/// Parses the output of `apt-get --print-uris`: lines such as `'https://..'
/// redis-tools_5%3a7.0_amd64.deb 991988 ..`.
fn parse_packages(output: &str) -> Vec<String> {
    output
        .lines()
        .filter(|line| line.starts_with('\''))
        .filter_map(|line| line.split(' ').nth(1)?.split('_').next())
        .map(str::to_owned)
        .collect()
}

/// The developer's own program, from an environment variable or from the PATH.
pub(crate) fn external_program(variable: &str, names: &[&str]) -> Result<Option<PathBuf>> {
    if let Some(program) = crate::environment_variable(variable).map(PathBuf::from) {
        verify_version(&program, &["--version"], "")
            .with_context(|| format!("{variable} is not usable; correct it or unset it"))?;
        return Ok(Some(program));
    }
    Ok(tool(names, "").ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names_are_parsed_from_apts_output() {
        let output = "Reading package lists...\nNeed to get 1351 kB of archives.\n\
            'http://archive/pool/r/redis-tools_7.0.15-1_amd64.deb' redis-tools_5%3a7.0.15-1_amd64.deb 991988 \n\
            'http://archive/pool/l/liblzf1_3.6-3_amd64.deb' liblzf1_3.6-3_amd64.deb 10192 MD5Sum:698d\n";
        assert_eq!(parse_packages(output), ["redis-tools", "liblzf1"]);
        assert!(parse_packages("chromium is already the newest version.").is_empty());
    }
}
