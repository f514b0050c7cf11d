//! Writes the custom resource definitions as `tenant.yaml`, `tenantclass.yaml` and
//! `schemarollout.yaml` to each folder given as an argument. Without arguments, it writes to this crate and to the chart, which contain
//! the same files. The output is deterministic, so comparing files detects stale ones.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crds::{schema_rollout_crd, tenant_class_crd, tenant_crd};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

const HEADER: &str = "\
# Generated from the types in crds/src by `make generate` (cargo run -p crds --bin crdgen). Do not edit.
";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to serialize a definition as YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
    #[error("failed to write {path}: {source}")]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
}

fn main() -> ExitCode {
    let mut folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if folders.is_empty() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        folders = vec![
            here.to_owned(),
            here.join("../charts/tenant-controller/crds"),
        ];
    }
    match generate(&folders) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(folders: &[PathBuf]) -> Result<(), Error> {
    let files = [
        ("tenant.yaml", yaml(&tenant_crd())?),
        ("tenantclass.yaml", yaml(&tenant_class_crd())?),
        ("schemarollout.yaml", yaml(&schema_rollout_crd())?),
    ];
    for folder in folders {
        std::fs::create_dir_all(folder).map_err(|source| Error::Write {
            path: folder.clone(),
            source,
        })?;
        for (name, text) in &files {
            write(&folder.join(name), text)?;
        }
    }
    Ok(())
}

fn yaml(crd: &CustomResourceDefinition) -> Result<String, Error> {
    Ok(format!("{HEADER}{}", serde_yaml::to_string(crd)?))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}
