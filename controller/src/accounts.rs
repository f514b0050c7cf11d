//! The Neon accounts of the classes: one client and one rate limit for each, and the listings of
//! their projects.
//!
//! This module and the `apply` modules call Neon, through [`NeonApi`]. A caller that needs to know
//! about a project reads the [`Snapshot`] of the account, which costs no call. A caller that needs certainty
//! requests a listing that begins after a given time; callers that wait at the same time share one
//! listing.

mod snapshot;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crds::{Reason, TenantClass};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use neon_client::ids::{OrgId, ProjectId};
use neon_client::model::Project;
use parking_lot::{Mutex, RwLock};
use secrecy::{ExposeSecret, SecretString};
use tracing::info;
use url::Url;

use crate::clock::WallClock;
use crate::cluster::{ClusterApi, ClusterError};
use crate::error::account_issue;
use crate::identity::{InstallationId, TenantUid};
use crate::issue::{Component, Issue};
use crate::neon::{NeonApi, NeonConnector};

pub use snapshot::{ListingBuilder, ObservedListing, ObservedProject, Snapshot};

/// The maximum page size of the API.
const PROJECTS_PER_PAGE: u16 = 400;
const NEON_URL: &str = "https://console.neon.tech/api/v2/";

/// Identifies an account. Classes with the same key share its rate limit and its listings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AccountKey {
    base_url: String,
    org_id: Option<String>,
    secret: String,
    secret_key: String,
}

/// One Neon account.
pub struct Account {
    id: usize,
    key_generation: AtomicUsize,
    listing_requested: AtomicBool,
    client: RwLock<Arc<dyn NeonApi>>,
    api_key: Mutex<SecretString>,
    installation: InstallationId,
    clock: WallClock,
    snapshot: Mutex<Snapshot>,
    /// Held during a listing, so that concurrent callers share one.
    listing_lock: tokio::sync::Mutex<()>,
    last_error: Mutex<Option<Issue>>,
}

impl Account {
    /// Identifies the account within this process.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Number of API keys that the account has had. A new key may have access to projects that the
    /// previous one did not.
    pub fn key_generation(&self) -> usize {
        self.key_generation.load(Ordering::Relaxed)
    }

    /// Whether a listing was requested ahead of schedule. Resets the request.
    pub fn take_listing_request(&self) -> bool {
        self.listing_requested.swap(false, Ordering::Relaxed)
    }

    /// A client for calls that a user waits for.
    pub fn client(&self) -> Arc<dyn NeonApi> {
        self.client.read().clone()
    }

    /// A client for calls that no user waits for; the rate limiter lets those of
    /// [`Account::client`] go first.
    pub fn background_client(&self) -> Arc<dyn NeonApi> {
        self.client().background()
    }

    /// Lists all projects of the account with `client`, unless the last complete listing began at
    /// `since` or later.
    pub async fn list_since(
        &self,
        since: Timestamp,
        client: Arc<dyn NeonApi>,
    ) -> Result<(), neon_client::Error> {
        let _guard = self.listing_lock.lock().await;
        if self
            .snapshot
            .lock()
            .as_of()
            .is_some_and(|as_of| as_of >= since)
        {
            return Ok(());
        }
        let mut listing = ListingBuilder::begin(self.clock.now());
        let mut pages = client.list_projects(PROJECTS_PER_PAGE);
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => listing.add_page(
                    &page.projects,
                    page.unavailable_project_ids,
                    &self.installation,
                ),
                Err(error) => {
                    *self.last_error.lock() = Some(account_issue(&error));
                    return Err(error);
                }
            }
        }
        listing.finish(self.clock.now());
        let mut snapshot = self.snapshot.lock();
        snapshot.replace(listing);
        info!(
            neon.projects = snapshot.len(),
            neon.pages = snapshot.pages(),
            "listed the account's projects"
        );
        *self.last_error.lock() = None;
        Ok(())
    }

    /// What the snapshot shows about a Tenant and the project recorded in its status.
    pub fn listing_for(&self, tenant: TenantUid, project: Option<&ProjectId>) -> ObservedListing {
        self.snapshot.lock().listing_for(tenant, project)
    }

    /// Adds a project that the controller created or changed to the snapshot.
    pub fn record_write(&self, project: &Project) {
        let now = self.clock.now();
        self.snapshot
            .lock()
            .record_write(project, &self.installation, now);
    }

    /// Removes a project that the controller deleted, or found deleted, from the snapshot.
    pub fn record_deletion(&self, project: &ProjectId) {
        self.snapshot
            .lock()
            .record_deletion(project, self.clock.now());
    }

    /// The projects of this installation that belong to none of `tenants`.
    pub fn orphaned_projects(&self, tenants: &HashSet<TenantUid>) -> BTreeSet<ProjectId> {
        self.snapshot.lock().orphaned_projects(tenants)
    }

    /// Why the last listing failed; `None` if it succeeded.
    pub fn last_error(&self) -> Option<Issue> {
        self.last_error.lock().clone()
    }

    /// Whether any listing has completed.
    pub fn is_listed(&self) -> bool {
        self.snapshot.lock().as_of().is_some()
    }

    /// The time between two scheduled listings. It grows with the number of pages.
    fn listing_interval(&self, settings: &crate::config::Neon) -> Duration {
        let pages = u32::try_from(self.snapshot.lock().pages()).unwrap_or(u32::MAX);
        let interval = Duration::from_hours(1) * pages / settings.drift_check_calls_per_hour.get();
        settings.drift_check_interval.max(interval)
    }
}

/// The accounts of all classes.
pub struct Accounts {
    settings: crate::config::Neon,
    installation: InstallationId,
    clock: WallClock,
    connect: Box<NeonConnector>,
    next_id: AtomicUsize,
    by_key: Mutex<HashMap<AccountKey, Arc<Account>>>,
    by_class: RwLock<HashMap<String, Result<Arc<Account>, Issue>>>,
}

impl Accounts {
    pub fn new(
        settings: crate::config::Neon,
        installation: InstallationId,
        clock: WallClock,
        connect: Box<NeonConnector>,
    ) -> Self {
        Self {
            settings,
            installation,
            clock,
            connect,
            next_id: AtomicUsize::new(0),
            by_key: Mutex::default(),
            by_class: RwLock::default(),
        }
    }

    /// The account of a class, or why it cannot be used. `None` until the class has been loaded.
    pub fn for_class(&self, class: &str) -> Option<Result<Arc<Account>, Issue>> {
        self.by_class.read().get(class).cloned()
    }

    /// The accounts that are in use by a class.
    pub fn all(&self) -> Vec<Arc<Account>> {
        self.by_key.lock().values().cloned().collect()
    }

    /// Reads the API key of a class, and opens its account or updates the account's key. A missing
    /// or invalid key is not an error here; it is recorded as the issue of the class.
    pub async fn load(
        &self,
        class: &TenantClass,
        cluster: &dyn ClusterApi,
    ) -> Result<(), ClusterError> {
        let secret = cluster
            .own_secret(&class.spec.neon.api_key_secret_ref.name)
            .await?;
        let account = self.open(class, secret.as_ref(), cluster.namespace());
        self.by_class.write().insert(class.name_any(), account);
        self.remove_unused();
        Ok(())
    }

    /// Removes a deleted class, and its account if no other class uses it.
    pub fn remove_class(&self, class: &str) {
        self.by_class.write().remove(class);
        self.remove_unused();
    }

    fn remove_unused(&self) {
        let used: Vec<Arc<Account>> = {
            let by_class = self.by_class.read();
            by_class.values().flatten().cloned().collect()
        };
        self.by_key
            .lock()
            .retain(|_, account| used.iter().any(|one| Arc::ptr_eq(one, account)));
    }

    /// `secret` is the Secret that the class names, in `namespace`.
    fn open(
        &self,
        class: &TenantClass,
        secret: Option<&Secret>,
        namespace: &str,
    ) -> Result<Arc<Account>, Issue> {
        let spec = &class.spec.neon;
        let (name, key) = (&spec.api_key_secret_ref.name, &spec.api_key_secret_ref.key);
        let invalid = |problem: String| {
            invalid_api_key(format!(
                "{problem}: store the account's API key there (namespace {namespace}), or correct \
                 spec.neon.apiKeySecretRef of TenantClass {}",
                class.name_any()
            ))
        };
        let Some(secret) = secret else {
            return Err(invalid(format!("Secret {name} does not exist")));
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
            return Err(invalid(format!(
                "key {key} of Secret {name} is missing, empty or not UTF-8"
            )));
        };
        let account_key = AccountKey {
            base_url: spec.base_url.clone().unwrap_or_else(|| NEON_URL.to_owned()),
            org_id: spec.org_id.clone(),
            secret: name.clone(),
            secret_key: key.clone(),
        };
        self.get_or_create(account_key, SecretString::from(api_key.to_owned()))
    }

    fn get_or_create(&self, key: AccountKey, api_key: SecretString) -> Result<Arc<Account>, Issue> {
        let mut by_key = self.by_key.lock();
        let org_id: Option<OrgId> = key
            .org_id
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error| unusable(&error))?;
        if let Some(account) = by_key.get(&key) {
            let mut current = account.api_key.lock();
            if current.expose_secret() != api_key.expose_secret() {
                // The rate limit applies to the account, so the client keeps its token bucket.
                let client = account.client().with_access(org_id, api_key.clone());
                *account.client.write() = client.map_err(|error| unusable(&error))?;
                *current = api_key;
                account.key_generation.fetch_add(1, Ordering::Relaxed);
                account.listing_requested.store(true, Ordering::Relaxed);
            }
            drop(current);
            return Ok(account.clone());
        }
        // Organisations of one account share its rate limit.
        let has_same_api_key = |other: &&AccountKey| {
            (&other.base_url, &other.secret, &other.secret_key)
                == (&key.base_url, &key.secret, &key.secret_key)
        };
        let sibling = by_key
            .keys()
            .find(has_same_api_key)
            .and_then(|other| by_key.get(other));
        let client = if let Some(sibling) = sibling {
            sibling.client().with_access(org_id, api_key.clone())
        } else {
            let base_url: Url = key.base_url.parse().map_err(|error| unusable(&error))?;
            (self.connect)(base_url, org_id, api_key.clone())
        };
        let client = client.map_err(|error| unusable(&error))?;
        let account = Arc::new(Account {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            key_generation: AtomicUsize::new(1),
            listing_requested: AtomicBool::new(false),
            client: RwLock::new(client),
            api_key: Mutex::new(api_key),
            installation: self.installation.clone(),
            clock: self.clock.clone(),
            snapshot: Mutex::default(),
            listing_lock: tokio::sync::Mutex::default(),
            last_error: Mutex::default(),
        });
        by_key.insert(key, account.clone());
        Ok(account)
    }

    /// The time between two scheduled listings of an account.
    pub fn listing_interval(&self, account: &Account) -> Duration {
        account.listing_interval(&self.settings)
    }
}

fn unusable(error: &dyn std::fmt::Display) -> Issue {
    invalid_api_key(format!("the class's Neon account cannot be used: {error}"))
}

fn invalid_api_key(message: String) -> Issue {
    Issue::new(Component::Project, Reason::ApiKeyInvalid, message)
}
