//! Observes with a watch when Tenants become Ready.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crds::Tenant;
use futures::TryStreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use test_support::scenario::is_ready;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// When the Tenants of a namespace were first seen Ready.
pub(crate) struct ReadyTimes {
    seen: watch::Receiver<HashMap<String, Instant>>,
    task: JoinHandle<()>,
}

impl ReadyTimes {
    pub(crate) fn watch(client: Client, namespace: &str) -> Self {
        let tenants: Api<Tenant> = Api::namespaced(client, namespace);
        let (sender, seen) = watch::channel(HashMap::new());
        let task = tokio::spawn(async move {
            let events = watcher(tenants, watcher::Config::default())
                .default_backoff()
                .applied_objects();
            let mut events = std::pin::pin!(events);
            // The stream reconnects after an error.
            loop {
                match events.try_next().await {
                    Ok(Some(tenant)) if is_ready(&tenant) => {
                        let now = Instant::now();
                        sender.send_if_modified(|seen| {
                            let before = seen.len();
                            seen.entry(tenant.name_any()).or_insert(now);
                            seen.len() > before
                        });
                    }
                    Ok(Some(_)) | Err(_) => {}
                    Ok(None) => return,
                }
            }
        });
        Self { seen, task }
    }

    /// Waits until a Tenant is Ready, and returns when it became so.
    pub(crate) async fn of(&mut self, name: &str, limit: Duration) -> Result<Instant> {
        let found =
            tokio::time::timeout(limit, self.seen.wait_for(|seen| seen.contains_key(name))).await;
        let found = found
            .with_context(|| format!("Tenant {name} is not Ready after {} s", limit.as_secs()))??;
        found
            .get(name)
            .copied()
            .context("the Tenant was removed from the map")
    }

    /// Waits until `count` Tenants are Ready, and returns when the last became so.
    pub(crate) async fn all(&mut self, count: usize, limit: Duration) -> Result<Instant> {
        let waiting = async {
            Ok::<_, anyhow::Error>(
                self.seen
                    .wait_for(|seen| seen.len() >= count)
                    .await?
                    .values()
                    .max()
                    .copied(),
            )
        };
        match tokio::time::timeout(limit, waiting).await {
            Ok(last) => last?.context("count must not be 0"),
            Err(_) => bail!(
                "{} of {count} Tenants are Ready after {} s",
                self.seen.borrow().len(),
                limit.as_secs()
            ),
        }
    }
}

impl Drop for ReadyTimes {
    fn drop(&mut self) {
        self.task.abort();
    }
}
