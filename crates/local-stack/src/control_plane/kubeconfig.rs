//! Kubeconfig files with one cluster, one user and one context.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::certificates::{KeyPairFiles, write};

/// A user's credentials.
pub(super) enum Identity<'a> {
    Certificate(&'a KeyPairFiles),
    Token(&'a str),
}

/// Writes a kubeconfig into `folder`. It refers to certificates by path, so it is valid while their
/// folder exists.
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

/// A kubeconfig in JSON, which is valid YAML.
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
