//! What a site should be like.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ClusterOptions;
#[cfg(doc)]
use crate::proxy::Proxy;

/// What a site should be like; by default: sign-in by name, the endpoint, everything in one process.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each names a server that is there or not, and all combinations make sense"
)]
pub struct SiteOptions {
    /// What is underneath.
    pub cluster: ClusterOptions,
    /// Sign in with an OpenID provider instead of by name alone.
    pub openid: bool,
    /// Count rate limits in Redis.
    pub redis: bool,
    /// Embed with the local model instead of the endpoint.
    pub local_model: bool,
    /// Put a [`Proxy`] before the app's main database and before its API server.
    pub proxied: bool,
    /// Read documents in a process of their own.
    pub separate_worker: bool,
    /// Further settings of the app, by their names.
    pub settings: BTreeMap<String, Value>,
}

impl SiteOptions {
    /// The same with another setting of the app.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }
}

/// Tests ask more often than people do.
pub(super) fn generous_limits() -> BTreeMap<String, Value> {
    const MANY: &str = "60000/1m,60000/1m";
    [
        "pages",
        "changes",
        "searches",
        "uploads",
        "questions",
        "sign-ins",
        "heavy",
        "assets",
    ]
    .iter()
    .map(|kind| (format!("rate-{kind}"), json!(MANY)))
    .chain([("log-filter".to_owned(), json!("info,app=debug"))])
    .collect()
}
