//! What every handler gets: the app's parts, started once.

use std::ops::Deref;
use std::sync::Arc;

use sqlx::PgPool;

use super::events::Events;
use super::limits::Limits;
use super::security::Headers;
use crate::config::Config;

/// The app's parts; clones share them.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// The parts by name, each started by its own module and put together in `run.rs`.
#[derive(Debug)]
pub struct Parts {
    /// The settings.
    pub config: Arc<Config>,
    /// The app's own database.
    pub database: PgPool,
    /// What happens in workspaces, told to whoever watches.
    pub events: Events,
    /// How often one may ask.
    pub limits: Limits,
    /// Headers that every answer bears.
    pub headers: Headers,
}

impl App {
    /// One handle on all of them.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
