//! Options of a [`Site`](crate::Site).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ClusterOptions;
#[cfg(doc)]
use crate::proxy::Proxy;

/// Options of a [`Site`](crate::Site). By default users sign in by name, models come from the
/// endpoint, and one process does everything.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each names a server that is there or not, and all combinations make sense"
)]
pub struct SiteOptions {
    pub cluster: ClusterOptions,
    /// Users sign in with an OpenID provider.
    pub openid: bool,
    /// Keeps rate limits in Redis.
    pub redis: bool,
    /// Embeds with the local model instead of the endpoint.
    pub local_model: bool,
    /// Puts a [`Proxy`] in front of the main database and in front of the app's API server.
    pub proxied: bool,
    /// Runs jobs in a process of their own.
    pub separate_worker: bool,
    /// Settings of the app, by name.
    pub settings: BTreeMap<String, Value>,
}

impl SiteOptions {
    /// Sets a setting of the app.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }
}

/// Settings for tests, which send more requests than the default rate limits allow.
pub(super) fn test_settings() -> BTreeMap<String, Value> {
    const MANY: &str = "60000/1m,60000/1m";
    [
        "reads",
        "writes",
        "searches",
        "uploads",
        "questions",
        "sign-ins",
        "expensive",
    ]
    .iter()
    .map(|kind| (format!("rate-limit-{kind}"), json!(MANY)))
    .chain([("log-filter".to_owned(), json!("info,app=debug"))])
    .collect()
}
