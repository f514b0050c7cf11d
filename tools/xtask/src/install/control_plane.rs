//! etcd, kube-apiserver and kube-controller-manager.
//!
//! Built with Go from the module in `tests/control-plane/`, whose three files are part of this program: one binary that
//! is each of the three by the name it is called with. A folder in `KUBEBUILDER_ASSETS` wins; such folders usually hold
//! no kube-controller-manager, and then that one alone is built.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::step::{Step, announce, verify_version};
use super::{require_go, tool, variable};
use crate::cache::Cache;
use crate::progress::say;

/// The Kubernetes release that `go.mod` names; the build writes it into the binary, so that clients see it.
const KUBERNETES_VERSION: &str = "1.37.2";
/// The minor version on its own, which clients compare.
const KUBERNETES_MINOR: &str = "37";
/// The etcd release that `go.mod` names.
const ETCD_VERSION: &str = "3.7.0";
/// Compiling everything takes 8 minutes on 2 cores; this is for slow machines and slow networks.
const BUILD_LIMIT: Duration = Duration::from_mins(50);
const NAMES: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];
const GO_MISSING: &str = "install Go 1.26 or newer (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kube-controller-manager";

/// The Go module, so that this program can build it wherever it runs.
const SOURCES: [(&str, &str); 3] = [
    (
        "go.mod",
        include_str!("../../../../tests/control-plane/go.mod"),
    ),
    (
        "go.sum",
        include_str!("../../../../tests/control-plane/go.sum"),
    ),
    (
        "main.go",
        include_str!("../../../../tests/control-plane/main.go"),
    ),
];

/// Where the three programs are.
#[derive(Debug, Clone)]
pub struct ControlPlaneBinaries {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Garbage collection and namespace deletion.
    pub kube_controller_manager: PathBuf,
}

pub(super) fn binaries(cache: &Cache) -> Result<ControlPlaneBinaries> {
    let Some(folder) = variable("KUBEBUILDER_ASSETS").map(PathBuf::from) else {
        return built(cache);
    };
    for name in ["etcd", "kube-apiserver"] {
        let program = folder.join(name);
        verify_version(&program, &["--version"], "").with_context(|| {
            format!(
                "KUBEBUILDER_ASSETS names {}, which cannot be used; correct it or unset it",
                folder.display()
            )
        })?;
    }
    let manager = folder.join("kube-controller-manager");
    let kube_controller_manager = if manager.is_file() {
        manager
    } else {
        say(&format!(
            "{} (KUBEBUILDER_ASSETS) has no kube-controller-manager, which deletes namespaces and orphans: using the built one.",
            folder.display()
        ));
        built(cache)?.kube_controller_manager
    };
    Ok(ControlPlaneBinaries {
        etcd: folder.join("etcd"),
        kube_apiserver: folder.join("kube-apiserver"),
        kube_controller_manager,
    })
}

fn built(cache: &Cache) -> Result<ControlPlaneBinaries> {
    let entry = format!("kubernetes-{KUBERNETES_VERSION}-{:08x}", source_hash());
    let needs = [
        "control-plane",
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
    ];
    let log = cache.root().join(format!("{entry}.log"));
    let folder = cache.entry(&entry, &needs, |folder| build(folder, &log))?;
    Ok(ControlPlaneBinaries {
        etcd: folder.join("etcd"),
        kube_apiserver: folder.join("kube-apiserver"),
        kube_controller_manager: folder.join("kube-controller-manager"),
    })
}

fn build(folder: &Path, log: &Path) -> Result<()> {
    let go = tool(&["go"], GO_MISSING)?;
    require_go(&go, GO_MISSING)?;
    announce(
        &format!(
            "etcd {ETCD_VERSION}, kube-apiserver and kube-controller-manager {KUBERNETES_VERSION}"
        ),
        "they are compiled from about 1,400 Go packages, which takes 8 minutes on 2 cores",
        folder,
    );
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
        .args([
            "build",
            "-v",
            "-mod=readonly",
            "-trimpath",
            "-ldflags",
            &flags,
            "-o",
        ])
        .arg(folder.join("control-plane"))
        .arg(".")
        .current_dir(&source)
        .env("GOFLAGS", "")
        .env("GOWORK", "off");
    Step {
        title: format!("kubernetes {KUBERNETES_VERSION} [1/2] download and compile"),
        command,
        log,
        limit: BUILD_LIMIT,
        describe: |lines| format!("{lines} modules and packages so far"),
    }
    .run()?;
    say(&format!(
        "  kubernetes {KUBERNETES_VERSION} [2/2] check that the three programs answer"
    ));
    for name in NAMES {
        symlink("control-plane", folder.join(name))?;
    }
    verify_version(&folder.join("etcd"), &["--version"], ETCD_VERSION)?;
    verify_version(
        &folder.join("kube-apiserver"),
        &["--version"],
        KUBERNETES_VERSION,
    )?;
    verify_version(
        &folder.join("kube-controller-manager"),
        &["--version"],
        KUBERNETES_VERSION,
    )?;
    fs::remove_dir_all(source)?;
    Ok(())
}

/// Tells builds of different sources apart. `DefaultHasher::new` has fixed keys; should its algorithm ever change, the
/// entry is built once more.
fn source_hash() -> u32 {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_versions_are_those_of_the_module() {
        let module = SOURCES[0].1;
        assert!(module.contains(&format!("k8s.io/kubernetes v{KUBERNETES_VERSION}\n")));
        assert!(module.contains(&format!("go.etcd.io/etcd/server/v3 v{ETCD_VERSION}\n")));
    }
}
