//! Kubeconfig files: one cluster, one user, one context.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::certificates::{Pair, write};

/// How a user shows who it is.
pub(super) enum Identity<'a> {
    Certificate(&'a Pair),
    Token(&'a str),
}

/// Writes a kubeconfig into `folder`. It names the certificates by their paths, so it is good while the folder is there.
pub(super) fn create(
    folder: &Path,
    file: &str,
    url: &str,
    ca: &Path,
    user: &str,
    identity: &Identity<'_>,
) -> Result<PathBuf> {
    let credentials = match identity {
        Identity::Certificate(pair) => {
            json!({"client-certificate": pair.certificate, "client-key": pair.key})
        }
        Identity::Token(token) => json!({"token": token}),
    };
    write(
        folder,
        file,
        &serde_json::to_string_pretty(&document(url, ca, user, &credentials))?,
    )
}

/// JSON is YAML too, and every client reads it.
fn document(url: &str, ca: &Path, user: &str, credentials: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": url, "certificate-authority": ca}}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
        "current-context": "local",
    })
}
