//! The Neon accounts behind the classes: a client with one quota each, and what the account's listings say.
//!
//! This folder and `apply` are the only places that call Neon. Whoever wants to know about a project asks the
//! [`Snapshot`] here, which is free; whoever has to be sure asks for a listing that begins after a given moment, and
//! shares it with everybody else who waits.

mod snapshot;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crds::{Reason, TenantClass};
use futures::StreamExt;
use jiff::Timestamp;
use kube::ResourceExt;
use neon_client::ids::{OrgId, ProjectId};
use neon_client::model::Project;
use neon_client::{AccountQuota, Neon, Priority};
use secrecy::{ExposeSecret, SecretString};
use tracing::info;
use url::Url;

use crate::cache::lock;
use crate::cluster::{Cluster, ClusterError};
use crate::facts::ListingFacts;
use crate::identity::{InstallationId, TenantUid};
use crate::telemetry::Metrics;
use crate::wish::Refusal;

pub use snapshot::{Gathering, Snapshot};

/// Projects a page; the API's own maximum.
const PAGE_PROJECTS: u16 = 400;
/// Longest wait for a turn in the account's quota: a thousand new Tenants are a minute and a half of it.
const QUEUE_TIMEOUT: Duration = Duration::from_mins(15);
/// Neon's API.
const NEON_URL: &str = "https://console.neon.tech/api/v2/";

/// What tells one account from another: classes with the same share its quota and its listings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AccountKey {
    base_url: String,
    org_id: Option<String>,
    secret: String,
    secret_key: String,
}

/// One Neon account.
pub struct Account {
    number: usize,
    /// Counts the keys it had: another key may open what the one before did not.
    keys: AtomicUsize,
    /// Whether a listing is wanted before its time.
    list_soon: AtomicBool,
    neon: RwLock<Neon>,
    api_key: Mutex<SecretString>,
    installation: InstallationId,
    snapshot: Mutex<Snapshot>,
    /// Held while a listing runs, so that those who wait for one share it.
    listing: tokio::sync::Mutex<()>,
    /// Why the last listing failed, until one succeeds.
    trouble: Mutex<Option<Refusal>>,
}

impl Account {
    /// Tells accounts apart within this process.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Counts the keys that the account had.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Whether somebody wants a listing before its time; asked once.
    pub fn list_soon(&self) -> bool {
        self.list_soon.swap(false, Ordering::Relaxed)
    }

    /// The client, for people who wait.
    pub fn neon(&self) -> Neon {
        self.neon
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The client, for what nobody waits for.
    pub fn neon_housekeeping(&self) -> Neon {
        self.neon().with_priority(Priority::Background)
    }

    /// Reads the whole account, unless a complete listing that began at `since` or later is there already.
    pub async fn list_since(&self, since: Timestamp, neon: Neon) -> Result<(), neon_client::Error> {
        let _turn = self.listing.lock().await;
        if lock(&self.snapshot)
            .as_of()
            .is_some_and(|as_of| as_of >= since)
        {
            return Ok(());
        }
        let mut gathering = Gathering::begin(Timestamp::now());
        let pages = neon.projects().list().limit(PAGE_PROJECTS).pages();
        let mut pages = std::pin::pin!(pages);
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => gathering.page(
                    &page.projects,
                    page.unavailable_project_ids,
                    &self.installation,
                ),
                Err(error) => {
                    *lock(&self.trouble) = Some(crate::failure::account_refusal(&error));
                    return Err(error);
                }
            }
        }
        gathering.end(Timestamp::now());
        let mut snapshot = lock(&self.snapshot);
        snapshot.replace(gathering);
        info!(
            neon.projects = snapshot.len(),
            neon.pages = snapshot.pages(),
            "Listed the account's projects"
        );
        *lock(&self.trouble) = None;
        Ok(())
    }

    /// What the listings say about one Tenant and its recorded project.
    pub fn facts(&self, tenant: TenantUid, project: Option<&ProjectId>) -> ListingFacts {
        lock(&self.snapshot).facts(tenant, project)
    }

    /// Lays a project over the listing that we just created or changed.
    pub fn wrote(&self, project: &Project) {
        lock(&self.snapshot).wrote(project, &self.installation, Timestamp::now());
    }

    /// Takes a project out of the listing that we just deleted, or found deleted.
    pub fn deleted(&self, project: &ProjectId) {
        lock(&self.snapshot).deleted(project, Timestamp::now());
    }

    /// Projects that bear the installation's mark and belong to none of these Tenants.
    pub fn orphaned(&self, tenants: &HashSet<TenantUid>) -> std::collections::BTreeSet<ProjectId> {
        lock(&self.snapshot).orphaned(tenants)
    }

    /// Why the last listing failed, until one succeeds.
    pub fn trouble(&self) -> Option<Refusal> {
        lock(&self.trouble).clone()
    }

    /// Whether the account was ever listed.
    pub fn is_listed(&self) -> bool {
        lock(&self.snapshot).as_of().is_some()
    }

    /// How long to wait until the next listing that nobody waits for: the more pages, the rarer.
    fn listing_interval(&self, settings: &crate::config::Neon) -> Duration {
        let pages = u32::try_from(lock(&self.snapshot).pages()).unwrap_or(u32::MAX);
        let spread = Duration::from_hours(1) * pages / settings.listing_calls_per_hour.get();
        settings.listing_interval.max(spread)
    }
}

/// The accounts of all classes.
pub struct Accounts {
    settings: crate::config::Neon,
    installation: InstallationId,
    metrics: Arc<Metrics>,
    made: AtomicUsize,
    by_key: Mutex<HashMap<AccountKey, Arc<Account>>>,
    by_class: RwLock<HashMap<String, Result<Arc<Account>, Refusal>>>,
}

impl Accounts {
    /// No account yet; [`Accounts::load`] makes them.
    pub fn new(
        settings: crate::config::Neon,
        installation: InstallationId,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            settings,
            installation,
            metrics,
            made: AtomicUsize::new(0),
            by_key: Mutex::default(),
            by_class: RwLock::default(),
        }
    }

    /// The account of a class, or what is wrong with it; `None` while the class was not looked at yet.
    pub fn of_class(&self, class: &str) -> Option<Result<Arc<Account>, Refusal>> {
        self.by_class
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(class)
            .cloned()
    }

    /// Every account that a class uses.
    pub fn all(&self) -> Vec<Arc<Account>> {
        lock(&self.by_key).values().cloned().collect()
    }

    /// Reads the class's API key and makes or renews its account. The error is one of the cluster's; a key that is missing or
    /// wrong is a refusal, kept for the class's Tenants to report.
    pub async fn load(&self, class: &TenantClass, cluster: &Cluster) -> Result<(), ClusterError> {
        let account = self.open(class, cluster).await?;
        self.by_class
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(class.name_any(), account);
        self.drop_unused();
        Ok(())
    }

    /// Forgets a class that is gone.
    pub fn forget(&self, class: &str) {
        self.by_class
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(class);
        self.drop_unused();
    }

    fn drop_unused(&self) {
        let used: Vec<Arc<Account>> = {
            let by_class = self.by_class.read().unwrap_or_else(PoisonError::into_inner);
            by_class.values().flatten().cloned().collect()
        };
        lock(&self.by_key).retain(|_, account| used.iter().any(|one| Arc::ptr_eq(one, account)));
    }

    async fn open(
        &self,
        class: &TenantClass,
        cluster: &Cluster,
    ) -> Result<Result<Arc<Account>, Refusal>, ClusterError> {
        let spec = &class.spec.neon;
        let (name, key) = (&spec.api_key_secret_ref.name, &spec.api_key_secret_ref.key);
        let missing = |what: String| Refusal {
            reason: Reason::ApiKeyInvalid,
            message: format!(
                "{what}: put the account's API key there (namespace {}), or correct spec.neon.apiKeySecretRef of \
                     TenantClass {}",
                cluster.namespace(),
                class.name_any()
            ),
        };
        let Some(secret) = cluster.own_secret(name).await? else {
            return Ok(Err(missing(format!("there is no Secret {name}"))));
        };
        let value = secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .map(|value| value.0.as_slice());
        let Some(api_key) = value
            .and_then(|value| std::str::from_utf8(value).ok())
            .map(str::trim)
            .filter(|k| !k.is_empty())
        else {
            return Ok(Err(missing(format!(
                "Secret {name} has no usable key {key}"
            ))));
        };
        let account_key = AccountKey {
            base_url: spec.base_url.clone().unwrap_or_else(|| NEON_URL.to_owned()),
            org_id: spec.org_id.clone(),
            secret: name.clone(),
            secret_key: key.clone(),
        };
        Ok(self.client(account_key, SecretString::from(api_key.to_owned())))
    }

    fn client(&self, key: AccountKey, api_key: SecretString) -> Result<Arc<Account>, Refusal> {
        let mut by_key = lock(&self.by_key);
        if let Some(account) = by_key.get(&key) {
            let mut current = lock(&account.api_key);
            if current.expose_secret() != api_key.expose_secret() {
                // The quota is the account's, not the key's: the bucket goes on.
                let renewed = account.neon().with_api_key(api_key.clone());
                let renewed = renewed.map_err(|error| unusable(&error))?;
                *account.neon.write().unwrap_or_else(PoisonError::into_inner) = renewed;
                *current = api_key;
                account.keys.fetch_add(1, Ordering::Relaxed);
                account.list_soon.store(true, Ordering::Relaxed);
            }
            drop(current);
            return Ok(account.clone());
        }
        let org_id: Option<OrgId> = key
            .org_id
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error| unusable(&error))?;
        // Another organisation of the same account: the quota is the account's.
        let same_key = |other: &&AccountKey| {
            (&other.base_url, &other.secret, &other.secret_key)
                == (&key.base_url, &key.secret, &key.secret_key)
        };
        if let Some(sibling) = by_key
            .keys()
            .find(same_key)
            .and_then(|other| by_key.get(other))
        {
            let neon = sibling
                .neon()
                .with_org_id(org_id)
                .with_api_key(api_key.clone())
                .map_err(|error| unusable(&error))?;
            let account = self.account(neon, api_key);
            by_key.insert(key, account.clone());
            return Ok(account);
        }
        let base_url: Url = key.base_url.parse().map_err(|error| unusable(&error))?;
        let builder = Neon::builder()
            .api_key(api_key.clone())
            .base_url(base_url)
            .quota(AccountQuota {
                requests_per_minute: self.settings.requests_per_minute.get(),
                per_route_per_second: self.settings.per_route_per_second.get(),
                ..AccountQuota::default()
            })
            .org_id(org_id)
            .call_timeout(self.settings.call_deadline)
            .queue_timeout(QUEUE_TIMEOUT)
            .observer(self.metrics.clone());
        let account = self.account(builder.build().map_err(|error| unusable(&error))?, api_key);
        by_key.insert(key, account.clone());
        Ok(account)
    }

    fn account(&self, neon: Neon, api_key: SecretString) -> Arc<Account> {
        Arc::new(Account {
            number: self.made.fetch_add(1, Ordering::Relaxed),
            keys: AtomicUsize::new(1),
            list_soon: AtomicBool::new(false),
            neon: RwLock::new(neon),
            api_key: Mutex::new(api_key),
            installation: self.installation.clone(),
            snapshot: Mutex::default(),
            listing: tokio::sync::Mutex::default(),
            trouble: Mutex::default(),
        })
    }

    /// How long to wait until an account's next listing that nobody waits for.
    pub fn listing_interval(&self, account: &Account) -> Duration {
        account.listing_interval(&self.settings)
    }
}

fn unusable(error: &dyn std::fmt::Display) -> Refusal {
    Refusal {
        reason: Reason::ApiKeyInvalid,
        message: format!("the class's Neon account cannot be used: {error}"),
    }
}
