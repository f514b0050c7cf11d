//! The Neon accounts of the classes: one client and one rate limit for each, and the listings of
//! their projects.
//!
//! This module and the `apply` modules call Neon, through [`NeonApi`](crate::neon::NeonApi). A
//! caller that needs to know about a project reads the [`Snapshot`] of the account, which costs no
//! call. A caller that needs certainty requests a listing that begins after a given time; callers
//! that wait at the same time share one listing.

mod account;
mod drift_calls;
mod listing_error;
mod owner;
mod plan;
mod snapshot;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crds::{Reason, TenantClass};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use neon_client::ids::OrgId;
use parking_lot::{Mutex, RwLock};
use secrecy::SecretString;
use url::Url;

use crate::clock::WallClock;
use crate::cluster::{ClusterApi, ClusterError};
use crate::identity::InstallationId;
use crate::issue::{Component, Issue};
use crate::neon::NeonConnector;

pub use account::{Account, Priority};
pub use listing_error::ListingError;
pub use plan::{AccountPlan, PlanLimits, PlanReading};
pub use snapshot::{ListingBuilder, ObservedListing, ObservedProject, Snapshot, is_unused};

const NEON_URL: &str = "https://console.neon.tech/api/v2/";

/// Identifies an account. Classes with the same key share its rate limit and its listings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AccountKey {
    base_url: String,
    org_id: Option<String>,
    secret: String,
    secret_key: String,
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
            account
                .set_api_key(org_id, api_key)
                .map_err(|error| unusable(&error))?;
            return Ok(account.clone());
        }
        // Organizations of one account share its rate limit.
        let has_same_api_key = |other: &&AccountKey| {
            (&other.base_url, &other.secret, &other.secret_key)
                == (&key.base_url, &key.secret, &key.secret_key)
        };
        let sibling = by_key
            .keys()
            .find(has_same_api_key)
            .and_then(|other| by_key.get(other));
        let client = if let Some(sibling) = sibling {
            sibling
                .client()
                .with_access(org_id.clone(), api_key.clone())
        } else {
            let base_url: Url = key.base_url.parse().map_err(|error| unusable(&error))?;
            (self.connect)(base_url, org_id.clone(), api_key.clone())
        };
        let client = client.map_err(|error| unusable(&error))?;
        let account = Arc::new(Account::new(
            self.next_id.fetch_add(1, Ordering::Relaxed),
            client,
            org_id,
            api_key,
            self.installation.clone(),
            self.clock.clone(),
        ));
        by_key.insert(key, account.clone());
        Ok(account)
    }

    /// The time between two scheduled listings of an account.
    pub fn listing_interval(&self, account: &Account) -> Duration {
        account.listing_interval(&self.settings)
    }

    /// Number of Tenants of the account whose compute can be read after a listing.
    pub fn take_inspections(&self, account: &Account) -> usize {
        account.take_inspections(&self.settings)
    }
}

fn unusable(error: &dyn std::fmt::Display) -> Issue {
    invalid_api_key(format!("the class's Neon account cannot be used: {error}"))
}

fn invalid_api_key(message: String) -> Issue {
    Issue::new(Component::Project, Reason::ApiKeyInvalid, message)
}
