//! Sites that several tests share.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::{Mutex, MutexGuard};

use super::{Site, SiteOptions};
use crate::{checks, suite};

/// A site that tests share. It is started by the first of them, and looked over and stopped after the last.
pub struct Shared {
    options: fn() -> SiteOptions,
    /// Whether its tests disturb it, and each other, so that one runs at a time.
    serial: bool,
    site: Mutex<Option<Arc<Site>>>,
    turn: Mutex<()>,
}

/// A test's time with the site.
pub struct Turn<'a> {
    /// The site.
    pub site: Arc<Site>,
    _turn: Option<MutexGuard<'a, ()>>,
}

impl Shared {
    /// For tests that leave each other alone.
    pub const fn new(options: fn() -> SiteOptions) -> Self {
        Self {
            options,
            serial: false,
            site: Mutex::const_new(None),
            turn: Mutex::const_new(()),
        }
    }

    /// For tests that take things away: one at a time.
    pub const fn serial(options: fn() -> SiteOptions) -> Self {
        Self {
            options,
            serial: true,
            site: Mutex::const_new(None),
            turn: Mutex::const_new(()),
        }
    }

    /// Waits for its turn, if there are turns.
    pub async fn turn(&self) -> Result<Turn<'_>> {
        let turn = if self.serial {
            Some(self.turn.lock().await)
        } else {
            None
        };
        let mut shared = self.site.lock().await;
        let site = match &*shared {
            Some(site) => Arc::clone(site),
            None => Arc::clone(shared.insert(Arc::new(Site::start((self.options)()).await?))),
        };
        Ok(Turn { site, _turn: turn })
    }

    /// Looks it over and stops it.
    pub async fn end(&self) -> Result<()> {
        let Some(site) = self.site.lock().await.take() else {
            return Ok(());
        };
        let checked = checks::site(&site).await;
        let mut site = Arc::into_inner(site).context("a test still holds the site")?;
        if std::env::var_os(suite::KEEP).is_some() {
            site.keep_folder();
            suite::say(&format!(
                "Logs are left in {}",
                site.cluster.folder().display()
            ));
        }
        site.stop().await?;
        checked
    }
}
