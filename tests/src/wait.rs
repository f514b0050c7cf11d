//! Waiting for what should come to be, with a limit, and with what was there instead in the error.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits;

/// Watches an object until `found` says yes to it (or to its absence), and gives it as it then is.
pub async fn until<K>(
    api: &Api<K>,
    name: &str,
    limit: Duration,
    what: &str,
    mut found: impl FnMut(Option<&K>) -> bool,
) -> Result<Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
    K::DynamicType: Default,
{
    let mut last: Option<K> = None;
    let watching = async {
        let mut states = std::pin::pin!(watcher::watch_object(api.clone(), name));
        while let Some(state) = states.next().await {
            // An interrupted watch begins anew by itself; an object that is gone comes as None.
            let Ok(state) = state else {
                tokio::time::sleep(limits::POLL).await;
                continue;
            };
            if found(state.as_ref()) {
                return state;
            }
            last = state;
        }
        None
    };
    match tokio::time::timeout(limit, watching).await {
        Ok(state) => Ok(state),
        Err(_) => bail!(
            "{} {name} is not {what} after {} s; it is: {}",
            K::kind(&K::DynamicType::default()),
            limit.as_secs(),
            last.as_ref().map_or_else(|| "not there".to_owned(), short)
        ),
    }
}

fn short<K: Serialize>(object: &K) -> String {
    let value = serde_json::to_value(object).unwrap_or_default();
    let status = &value["status"];
    let shown = if status.is_null() {
        &value["metadata"]
    } else {
        status
    };
    serde_yaml::to_string(shown).unwrap_or_default()
}

/// Asks again and again, where nothing can be watched, until there is an answer.
pub async fn poll<T, F>(limit: Duration, what: &str, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if started.elapsed() > limit => {
                bail!("not within {} s: {what}", limit.as_secs())
            }
            Err(error) if started.elapsed() > limit => {
                return Err(error.context(format!("not within {} s: {what}", limit.as_secs())));
            }
            Ok(None) | Err(_) => tokio::time::sleep(limits::POLL).await,
        }
    }
}

/// Asks again and again for a while; the first time that the answer is a complaint is an error.
pub async fn never<F>(span: Duration, what: &str, mut ask: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = Result<Option<String>>>,
{
    let started = Instant::now();
    while started.elapsed() < span {
        if let Some(complaint) = ask().await? {
            bail!("{what}: {complaint}");
        }
        tokio::time::sleep(limits::POLL).await;
    }
    Ok(())
}
