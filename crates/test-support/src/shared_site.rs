//! Sites that tests share.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::{Mutex, MutexGuard};

use crate::report::{KEEP_FOLDERS, say};
use crate::{Site, SiteOptions, checks};

/// A site that tests share. The first test starts it; [`SharedSite::stop`] checks and stops it.
pub struct SharedSite {
    options: fn() -> SiteOptions,
    /// Whether its tests run one at a time, because they interrupt servers.
    serial: bool,
    site: Mutex<Option<Arc<Site>>>,
    turn: Mutex<()>,
}

/// Access to a site for one test.
pub struct SiteGuard<'a> {
    pub site: Arc<Site>,
    _turn: Option<MutexGuard<'a, ()>>,
}

impl SharedSite {
    /// A site whose tests run in parallel.
    pub const fn new(options: fn() -> SiteOptions) -> Self {
        Self {
            options,
            serial: false,
            site: Mutex::const_new(None),
            turn: Mutex::const_new(()),
        }
    }

    /// A site whose tests run one at a time.
    pub const fn serial(options: fn() -> SiteOptions) -> Self {
        Self {
            options,
            serial: true,
            site: Mutex::const_new(None),
            turn: Mutex::const_new(()),
        }
    }

    /// Waits until the test may run, and starts the site if necessary.
    pub async fn acquire(&self) -> Result<SiteGuard<'_>> {
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
        Ok(SiteGuard { site, _turn: turn })
    }

    /// Checks and stops the site.
    pub async fn stop(&self) -> Result<()> {
        let Some(site) = self.site.lock().await.take() else {
            return Ok(());
        };
        let checked = checks::check_site(&site).await;
        let mut site = Arc::into_inner(site).context("a test still uses the site")?;
        if std::env::var_os(KEEP_FOLDERS).is_some() {
            site.keep_folder();
            say(&format!(
                "The logs are in {}",
                site.cluster().folder().display()
            ));
        }
        site.stop().await?;
        checked
    }
}
