//! Other people's PDFs: manuals from Debian's packages, and the odd and broken files that libraries for PDF keep for their own
//! tests. Nothing of them is in the tree: they come from the ordinary registries into the cache of the user.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, process};

use anyhow::{Context as _, Result, bail};

/// No download takes longer than this, in seconds; the largest is 18 MB.
const DOWNLOAD_SECONDS_MAX: &str = "900";
/// The packages of Debian that hold manuals: 36 files of 7,200 pages, made by a dozen different programs.
const MANUALS: &[&str] = &[
    "debian-faq",
    "debian-policy",
    "developers-reference",
    "gnuplot-doc",
    "installation-guide-amd64",
    "octave-doc",
    "r-doc-pdf",
];
/// What lists the files of a part, beside them.
const LIST: &str = "files.txt";

/// A part of the corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Well-made, long.
    Manuals,
    /// The test files of a Python package, of this version: short, and many of them odd on purpose.
    Package(&'static str, &'static str),
}

impl Part {
    /// The one that is quickly had.
    pub(crate) const SMALL: Self = Self::Package("pypdf", "7.1.0");
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Manuals,
        Self::SMALL,
        Self::Package("pikepdf", "10.18.0"),
        Self::Package("ocrmypdf", "17.13.0"),
        Self::Package("pypdfium2", "5.15.2"),
    ];

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Manuals => "manuals",
            Self::Package(name, _) => name,
        }
    }

    /// Its files, downloaded first if need be.
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

    /// Fills a folder beside its place and renames it as the last step: a folder that exists is complete.
    fn download(self, cache: &Path, entry: &str) -> Result<()> {
        let place = cache.join(entry);
        let partial = cache.join(format!("{entry}.partial-{}", process::id()));
        let lock = File::create(cache.join(format!("{entry}.lock")))?;
        lock.lock()?; // another run may be at it
        if place.join(LIST).is_file() {
            return Ok(());
        }
        fs::create_dir_all(&partial)?;
        let filled = self.fill(&partial);
        if filled.is_ok() {
            fs::rename(&partial, &place)?;
        } else {
            fs::remove_dir_all(&partial)?;
        }
        filled
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
            bail!("there is no PDF in {}", self.name());
        }
        fs::write(folder.join(LIST), list.join("\n"))?;
        Ok(())
    }
}

/// The cache that the project's other downloads lie in.
fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        Some(path) if path.is_absolute() => path,
        _ => env::home_dir()
            .context("neither XDG_CACHE_HOME nor HOME names a folder: set one of them")?
            .join(".cache"),
    };
    let cache = base.join("db-per-tenant");
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

/// Moves every PDF below `from` into `to`, unpacked; gives their names, in order.
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
    let release = fs::read_to_string("/etc/os-release").context("this is no Linux")?;
    release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .context("the manuals of the corpus come from packages of Debian: run this on Debian")
}

fn run(
    folder: &Path,
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<()> {
    let output = Command::new("timeout")
        .arg(DOWNLOAD_SECONDS_MAX)
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .with_context(|| format!("{program} cannot be run"))?;
    if !output.status.success() {
        bail!(
            "{program} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
