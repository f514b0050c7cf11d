//! etcd, kube-apiserver and kube-controller-manager.
//!
//! Existing binaries are used where there are any: those in `KUBEBUILDER_ASSETS`, else the newest
//! that `setup-envtest` installed, else those in `/usr/local/kubebuilder/bin`. Otherwise all three
//! are built with Go, from the module in `tests/control-plane/`, which is compiled into this
//! program. Existing binaries usually lack kube-controller-manager; it is then built alone, if it
//! is required.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, iter};

use anyhow::{Context as _, Result};

use crate::cache::Cache;
use crate::progress::say;
use crate::step::{Step, announce, verify_version};
use crate::{environment_variable, require_go, tool};

/// Names a folder with the developer's own binaries.
pub(crate) const KUBEBUILDER_ASSETS: &str = "KUBEBUILDER_ASSETS";
/// Where Kubebuilder's own installers put the binaries.
const KUBEBUILDER_FOLDER: &str = "/usr/local/kubebuilder/bin";
/// The oldest Kubernetes minor release that the CRDs work with: they use CEL's IP and CIDR
/// functions.
const MIN_KUBERNETES_MINOR: u32 = 31;
/// The Kubernetes release in `go.mod`. The build writes it into the binary, so that clients see it.
const KUBERNETES_VERSION: &str = "1.37.2";
/// The minor part of [`KUBERNETES_VERSION`], which clients compare.
const KUBERNETES_MINOR: &str = "37";
/// The etcd release in `go.mod`.
const ETCD_VERSION: &str = "3.7.0";
/// Compiling all three takes 9 minutes on 2 cores. The timeout allows for slow machines and
/// networks.
const BUILD_TIMEOUT: Duration = Duration::from_mins(50);
const GO_MISSING: &str = "install Go 1.26 or newer (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kube-controller-manager";

/// The Go module, so that this program can build it wherever it runs.
const SOURCES: [(&str, &str); 4] = [
    (
        "go.mod",
        include_str!("../../../tests/control-plane/go.mod"),
    ),
    (
        "go.sum",
        include_str!("../../../tests/control-plane/go.sum"),
    ),
    (
        "main.go",
        include_str!("../../../tests/control-plane/main.go"),
    ),
    (
        "servers.go",
        include_str!("../../../tests/control-plane/servers.go"),
    ),
];

#[derive(Debug, Clone)]
pub struct ControlPlaneBinaries {
    pub etcd: PathBuf,
    pub kube_apiserver: PathBuf,
    /// Deletes the contents of deleted namespaces and collects garbage. `None` only with
    /// [`ControllerManager::Optional`].
    pub kube_controller_manager: Option<PathBuf>,
}

/// Whether kube-controller-manager is built if existing binaries lack it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ControllerManager {
    #[default]
    Required,
    Optional,
}

/// What [`build`] compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    All,
    ControllerManager,
}

impl Target {
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::All => &["etcd", "kube-apiserver", "kube-controller-manager"],
            Self::ControllerManager => &["kube-controller-manager"],
        }
    }
}

pub(crate) fn binaries(cache: &Cache, manager: ControllerManager) -> Result<ControlPlaneBinaries> {
    let Some(folder) = existing_folder()? else {
        let folder = built(cache, Target::All)?;
        return Ok(ControlPlaneBinaries {
            etcd: folder.join("etcd"),
            kube_apiserver: folder.join("kube-apiserver"),
            kube_controller_manager: Some(folder.join("kube-controller-manager")),
        });
    };
    let existing = folder.join("kube-controller-manager");
    let kube_controller_manager = if existing.is_file() {
        Some(existing)
    } else if manager == ControllerManager::Required {
        Some(built(cache, Target::ControllerManager)?.join("kube-controller-manager"))
    } else {
        None
    };
    Ok(ControlPlaneBinaries {
        etcd: folder.join("etcd"),
        kube_apiserver: folder.join("kube-apiserver"),
        kube_controller_manager,
    })
}

/// A folder with etcd and kube-apiserver that is already on this machine.
fn existing_folder() -> Result<Option<PathBuf>> {
    if let Some(folder) = environment_variable(KUBEBUILDER_ASSETS).map(PathBuf::from) {
        for name in ["etcd", "kube-apiserver"] {
            verify_version(&folder.join(name), &["--version"], "").with_context(|| {
                format!(
                    "{KUBEBUILDER_ASSETS} is not usable: {}; correct it or unset it",
                    folder.display()
                )
            })?;
        }
        return Ok(Some(folder));
    }
    let envtest = envtest_store()
        .map(|store| envtest_folders(&store))
        .unwrap_or_default();
    let found = envtest
        .into_iter()
        .chain(iter::once(PathBuf::from(KUBEBUILDER_FOLDER)))
        .find(|folder| is_usable(folder));
    Ok(found)
}

/// The folder that `setup-envtest` installs into by default.
fn envtest_store() -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        let home = env::home_dir()?;
        return Some(home.join("Library/Application Support/io.kubebuilder.envtest/k8s"));
    }
    let data = environment_variable("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".local/share")))?;
    Some(data.join("kubebuilder-envtest/k8s"))
}

/// The folders of a store for this machine's platform, such as `1.35.0-linux-amd64`, newest release
/// first.
fn envtest_folders(store: &Path) -> Vec<PathBuf> {
    let os = if cfg!(target_os = "macos") {
        "darwin"
    } else {
        env::consts::OS
    };
    let architecture = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let suffix = format!("-{os}-{architecture}");
    let Ok(entries) = fs::read_dir(store) else {
        return Vec::new();
    };
    let mut folders: Vec<((u32, u32, u32), PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((parse_release(name.strip_suffix(&suffix)?)?, entry.path()))
        })
        .filter(|((major, minor, _), _)| (*major, *minor) >= (1, MIN_KUBERNETES_MINOR))
        .collect();
    folders.sort_by(|(one, _), (other, _)| other.cmp(one));
    folders.into_iter().map(|(_, folder)| folder).collect()
}

fn parse_release(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(str::parse);
    let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
    Some((major.ok()?, minor.ok()?, patch.ok()?))
}

/// Whether the folder has an etcd and a recent kube-apiserver that run.
fn is_usable(folder: &Path) -> bool {
    let runs = |name: &str| verify_version(&folder.join(name), &["--version"], "").is_ok();
    let apiserver = Command::new(folder.join("kube-apiserver"))
        .arg("--version")
        .output();
    let release = apiserver.ok().and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        parse_release(text.trim().strip_prefix("Kubernetes v")?)
    });
    release.is_some_and(|(major, minor, _)| (major, minor) >= (1, MIN_KUBERNETES_MINOR))
        && runs("etcd")
}

/// The folder with the programs of `target`, built if necessary.
fn built(cache: &Cache, target: Target) -> Result<PathBuf> {
    let name = match target {
        Target::All => "kubernetes",
        Target::ControllerManager => "kube-controller-manager",
    };
    let entry = format!("{name}-{KUBERNETES_VERSION}-{:08x}", source_hash());
    let required = [&["control-plane"], target.programs()].concat();
    let log = cache.root().join(format!("{entry}.log"));
    cache.entry(&entry, &required, |folder| build(folder, target, &log))
}

fn build(folder: &Path, target: Target, log: &Path) -> Result<()> {
    let go = tool(&["go"], GO_MISSING)?;
    require_go(&go, GO_MISSING)?;
    let (what, cost) = match target {
        Target::All => (
            format!(
                "etcd {ETCD_VERSION}, kube-apiserver and kube-controller-manager {KUBERNETES_VERSION}"
            ),
            "compiling about 1,400 Go packages takes 9 minutes on 2 cores",
        ),
        Target::ControllerManager => (
            format!("kube-controller-manager {KUBERNETES_VERSION}"),
            "compiling takes several minutes",
        ),
    };
    announce(&what, cost, folder);
    let source = folder.join("source");
    fs::create_dir(&source)?;
    for (name, text) in SOURCES {
        fs::write(source.join(name), text)?;
    }
    let version = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {version}.gitVersion=v{KUBERNETES_VERSION} -X {version}.gitMajor=1 -X {version}.gitMinor={KUBERNETES_MINOR}"
    );
    let mut command = Command::new(&go);
    command
        .args(["build", "-v", "-mod=readonly", "-trimpath"])
        .args(["-ldflags", &flags, "-o"])
        .arg(folder.join("control-plane"));
    if target == Target::ControllerManager {
        command.arg("-tags=controller_manager_only");
    }
    command
        .arg(".")
        .current_dir(&source)
        .env("GOFLAGS", "")
        .env("GOWORK", "off");
    Step {
        title: format!("Kubernetes {KUBERNETES_VERSION}"),
        command,
        log,
        timeout: BUILD_TIMEOUT,
        describe: |lines| format!("{lines} packages"),
    }
    .run()?;
    for name in target.programs() {
        symlink("control-plane", folder.join(name))?;
        let expected = if *name == "etcd" {
            ETCD_VERSION
        } else {
            KUBERNETES_VERSION
        };
        verify_version(&folder.join(name), &["--version"], expected)?;
    }
    say(&format!("Installed {what}."));
    fs::remove_dir_all(source)?;
    Ok(())
}

/// Distinguishes builds of different sources. `DefaultHasher::new` has fixed keys; if its algorithm
/// ever changes, the entry is built once more.
fn source_hash() -> u32 {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_versions_are_those_of_the_go_module() {
        let module = SOURCES[0].1;
        assert!(module.contains(&format!("k8s.io/kubernetes v{KUBERNETES_VERSION}\n")));
        assert!(module.contains(&format!("go.etcd.io/etcd/server/v3 v{ETCD_VERSION}\n")));
    }

    #[test]
    fn the_newest_envtest_release_for_this_platform_comes_first() -> Result<()> {
        let store = tempfile::tempdir()?;
        let platform = match (env::consts::OS, env::consts::ARCH) {
            ("macos", "aarch64") => "darwin-arm64",
            ("macos", _) => "darwin-amd64",
            (_, "aarch64") => "linux-arm64",
            _ => "linux-amd64",
        };
        for name in [
            &format!("1.33.0-{platform}"),
            &format!("1.36.10-{platform}"),
            &format!("1.36.9-{platform}"),
            &format!("1.30.0-{platform}"),
            "1.37.0-plan9-mips",
            "unrelated",
        ] {
            fs::create_dir(store.path().join(name))?;
        }
        let folders = envtest_folders(store.path());
        let names: Vec<_> = folders
            .iter()
            .filter_map(|folder| folder.file_name()?.to_str()?.split('-').next())
            .collect();
        assert_eq!(names, ["1.36.10", "1.36.9", "1.33.0"]);
        Ok(())
    }
}
