//! What every handler gets: the app's parts, started once.

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

/// The app's parts; clones share them.
#[derive(Clone, Debug)]
pub struct App(Arc<Components>);

/// The parts by name, each started by its own module and put together in `run.rs`.
#[derive(Debug)]
pub struct Components {
    /// The settings.
    pub config: Arc<Config>,
    /// The app's own database.
    pub database: PgPool,
    /// The cluster: a Tenant a workspace.
    pub tenants: Tenants,
    /// The tenants' databases.
    pub pools: Pools,
    /// Where files lie.
    pub objects: ObjectStore,
    /// Who embeds and answers.
    pub models: Arc<Models>,
    /// Answers to questions.
    pub ask: AnswerService,
    /// The OpenID provider; `None` where people sign in by name.
    pub oidc: Option<Oidc>,
    /// What happens in workspaces, told to whoever watches.
    pub events: Events,
    /// How often one may ask.
    pub limits: RateLimiter,
    /// Who has how many streams open.
    pub streams: Streams,
    /// Headers that every answer bears.
    pub headers: SecurityHeaders,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process is asked to stop.
    pub stop: CancellationToken,
}

impl App {
    /// One handle on all of them.
    pub fn new(parts: Components) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Components;

    fn deref(&self) -> &Components {
        &self.0
    }
}
