//! The application state that every handler receives.

use std::ops::Deref;
use std::sync::Arc;

use llm::Models;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::rate_limit::RateLimiter;
use super::security::SecurityHeaders;
use super::streams::Streams;
use crate::ask::AnswerService;
use crate::config::Config;
use crate::events::Events;
use crate::identity::oidc::Oidc;
use crate::objects::ObjectStore;
use crate::telemetry::Metrics;
use crate::tenants::{Pools, Tenants};

/// The application state. Clones share it.
#[derive(Clone, Debug)]
pub struct App(Arc<Components>);

/// The components of the app. `run.rs` starts them and puts them together.
#[derive(Debug)]
pub struct Components {
    pub config: Arc<Config>,
    pub database: PgPool,
    /// The Tenants in the cluster, one per workspace.
    pub tenants: Tenants,
    /// Connections to the tenants' databases.
    pub pools: Pools,
    /// The S3 buckets with the uploaded files.
    pub objects: ObjectStore,
    /// The embedding and chat models.
    pub models: Arc<Models>,
    pub ask: AnswerService,
    /// The OpenID provider. `None` if users sign in by name.
    pub oidc: Option<Oidc>,
    /// Notifications of changes in workspaces.
    pub events: Events,
    pub limits: RateLimiter,
    pub streams: Streams,
    pub headers: SecurityHeaders,
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process shuts down.
    pub stop: CancellationToken,
}

impl App {
    pub fn new(components: Components) -> Self {
        Self(Arc::new(components))
    }
}

impl Deref for App {
    type Target = Components;

    fn deref(&self) -> &Components {
        &self.0
    }
}
