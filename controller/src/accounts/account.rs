//! One Neon account: its client, whom its API key belongs to, and the listing of its projects.

mod listing;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crds::Reason;
use jiff::Timestamp;
use neon_client::ids::{OrgId, ProjectId};
use neon_client::model::{AuthMethod, Project};
use neon_client::{BuildError, ErrorKind};
use parking_lot::{Mutex, RwLock};
use secrecy::{ExposeSecret, SecretString};
use service_kit::error_chain;
use tracing::debug;

use super::drift_calls::{self, InspectionCredit};
use super::listing_error::ListingError;
use super::owner::Owner;
use super::plan::{AccountPlan, PLAN_TIMEOUT, PlanCache, PlanReading};
use super::snapshot::{ObservedListing, Snapshot};
use crate::clock::WallClock;
use crate::config;
use crate::identity::{InstallationId, TenantKey, TenantUid};
use crate::issue::{Component, Issue};
use crate::neon::NeonApi;

/// The priority of calls at the rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A user waits for the call.
    User,
    Background,
}

pub struct Account {
    id: usize,
    key_generation: AtomicUsize,
    listing_requested: AtomicBool,
    /// The latest time since which a listing was requested.
    listing_requested_since: Mutex<Option<Timestamp>>,
    client: RwLock<Arc<dyn NeonApi>>,
    api_key: Mutex<SecretString>,
    /// The organization that the class names.
    org_id: Option<OrgId>,
    /// Whom the current API key belongs to, once it is known.
    owner: Mutex<Option<Owner>>,
    /// The owner of the projects in the snapshot.
    listed_owner: Mutex<Option<String>>,
    installation: InstallationId,
    clock: WallClock,
    snapshot: Mutex<Snapshot>,
    inspection_credit: Mutex<InspectionCredit>,
    /// Held during a listing, so that concurrent callers share one.
    listing_lock: tokio::sync::Mutex<()>,
    last_error: Mutex<Option<Issue>>,
    plan: Mutex<PlanCache>,
}

impl Account {
    pub(super) fn new(
        id: usize,
        client: Arc<dyn NeonApi>,
        org_id: Option<OrgId>,
        api_key: SecretString,
        installation: InstallationId,
        clock: WallClock,
    ) -> Self {
        Self {
            id,
            key_generation: AtomicUsize::new(1),
            listing_requested: AtomicBool::new(false),
            listing_requested_since: Mutex::default(),
            client: RwLock::new(client),
            api_key: Mutex::new(api_key),
            org_id,
            owner: Mutex::default(),
            listed_owner: Mutex::default(),
            installation,
            clock,
            snapshot: Mutex::default(),
            inspection_credit: Mutex::default(),
            listing_lock: tokio::sync::Mutex::default(),
            last_error: Mutex::default(),
            plan: Mutex::default(),
        }
    }

    /// Uses another API key from now on.
    pub(super) fn set_api_key(
        &self,
        org_id: Option<OrgId>,
        api_key: SecretString,
    ) -> Result<(), BuildError> {
        let mut current = self.api_key.lock();
        if current.expose_secret() == api_key.expose_secret() {
            return Ok(());
        }
        // The rate limit applies to the account, so the client keeps its token bucket.
        let client = self.client().with_access(org_id, api_key.clone())?;
        *self.client.write() = client;
        *current = api_key;
        *self.owner.lock() = None;
        *self.plan.lock() = PlanCache::default();
        self.key_generation.fetch_add(1, Ordering::Relaxed);
        self.listing_requested.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A client for calls that a user waits for, and the owner of its API key. Unlike
    /// [`Account::client`], the client keeps its key if the account gets another one.
    pub async fn identified_client(&self) -> Result<(Arc<dyn NeonApi>, String), ListingError> {
        let (client, generation) = self.current_client();
        self.identify(&*client, generation).await?;
        let _key = self.api_key.lock();
        match self.owner() {
            Some(owner) if generation == self.key_generation() => Ok((client, owner)),
            _ => Err(ListingError::KeyChanged),
        }
    }

    /// The client and the generation of its key.
    fn current_client(&self) -> (Arc<dyn NeonApi>, usize) {
        let _key = self.api_key.lock();
        (self.client(), self.key_generation())
    }

    /// Reads whom the API key of this generation belongs to, unless it is known. What is known about
    /// the projects of another owner is forgotten.
    async fn identify(
        &self,
        client: &dyn NeonApi,
        generation: usize,
    ) -> Result<(), neon_client::Error> {
        if self.owner.lock().is_some() {
            return Ok(());
        }
        let details = client.auth_details().await?;
        let owner = match (&details.auth_method, &self.org_id) {
            // The key of an organization has access to no other organization, even if the class
            // names one.
            (AuthMethod::ApiKeyOrg, _) => Owner::organization(details.account_id),
            (_, Some(org_id)) => Owner::organization(org_id.to_string()),
            (_, None) => Owner::user(details.account_id),
        };
        let _key = self.api_key.lock();
        if generation == self.key_generation() {
            let mut listed_owner = self.listed_owner.lock();
            if listed_owner.as_ref() != Some(&owner.id) {
                *self.snapshot.lock() = Snapshot::default();
                *listed_owner = Some(owner.id.clone());
            }
            *self.owner.lock() = Some(owner);
        }
        Ok(())
    }

    /// Reads the plan of the account if it was not read recently. Without access to it, the plan
    /// remains unknown.
    pub async fn refresh_plan(&self) {
        let now = self.clock.now();
        let (client, generation) = self.current_client();
        let owner = self.owner.lock().clone();
        let Some(owner) = owner.filter(|_| self.plan.lock().is_due(now)) else {
            return;
        };
        let client = client.background();
        let reading = tokio::time::timeout(PLAN_TIMEOUT, read_plan(&*client, &owner));
        let result = match reading.await {
            Ok(result) => result.map_err(|error| {
                debug!(error = %error_chain(&error), "failed to read the account's plan");
                error.kind()
            }),
            Err(_) => Err(ErrorKind::Timeout),
        };
        let _key = self.api_key.lock();
        if generation == self.key_generation() {
            self.plan.lock().record(result, now);
        }
    }

    pub fn plan(&self) -> PlanReading {
        self.plan.lock().reading.clone()
    }

    /// Number of projects in the account; `None` until it has been listed.
    pub fn project_count(&self) -> Option<usize> {
        self.is_listed().then(|| self.snapshot.lock().len())
    }

    /// Id of the user or the organization that the API key belongs to; `None` until it has been
    /// read.
    pub fn owner(&self) -> Option<String> {
        self.owner.lock().as_ref().map(|owner| owner.id.clone())
    }

    /// Why the account must not be used by a class whose projects belong to `recorded`.
    pub fn owner_mismatch(&self, recorded: Option<&str>) -> Option<Issue> {
        self.mismatch_of(&self.owner()?, recorded)
    }

    /// The same for the owner of a certain key.
    pub fn mismatch_of(&self, owner: &str, recorded: Option<&str>) -> Option<Issue> {
        let expected = self.org_id.as_ref().map(OrgId::as_str).or(recorded)?;
        (owner != expected).then(|| {
            Issue::new(
                Component::Project,
                Reason::AccountMismatch,
                format!(
                    "the API key belongs to account {owner}, but the class's projects belong to account {expected}: \
                     store a key of {expected} in the class's Secret, or create a new TenantClass for {owner}"
                ),
            )
        })
    }

    /// Why the class must not use a project that Neon returned.
    fn misplaced(&self, project: &Project) -> Option<Issue> {
        self.owner.lock().as_ref()?.misplaced(project)
    }

    /// Whether a project that Neon reports as not found is deleted, rather than a project of
    /// another account: this account listed it before, or lists it as recoverable.
    pub async fn is_deleted(&self, id: &ProjectId) -> Result<bool, neon_client::Error> {
        if self.snapshot.lock().has_shown(id) {
            return Ok(true);
        }
        Ok(self.client().recoverable_project(id).await?.is_some())
    }

    /// Identifies the account within this process.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Number of API keys that the account has had. A new key may have access to projects that the
    /// previous one did not.
    pub fn key_generation(&self) -> usize {
        self.key_generation.load(Ordering::Relaxed)
    }

    /// A client for calls that a user waits for.
    pub fn client(&self) -> Arc<dyn NeonApi> {
        self.client.read().clone()
    }

    /// What the snapshot shows about a Tenant and the project recorded in its status. Nothing, until
    /// it is known that the current API key belongs to the account that the snapshot shows.
    pub fn listing_for(
        &self,
        tenant: TenantUid,
        key: &TenantKey,
        project: Option<&ProjectId>,
    ) -> ObservedListing {
        if self.shows_current_owner() {
            self.snapshot.lock().listing_for(tenant, key, project)
        } else {
            ObservedListing::default()
        }
    }

    fn shows_current_owner(&self) -> bool {
        let owner = self.owner();
        owner.is_some() && owner == *self.listed_owner.lock()
    }

    /// Adds a project that the controller read, created or changed to the snapshot, unless it belongs
    /// to another organization.
    pub fn record_write(&self, project: &Project) -> Result<(), Issue> {
        if let Some(issue) = self.misplaced(project) {
            return Err(issue);
        }
        let now = self.clock.now();
        self.snapshot
            .lock()
            .record_write(project, &self.installation, now);
        Ok(())
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

    /// Ids of the projects of which a compute was active at this time or later. Of projects that no
    /// listing has shown yet, nothing is known.
    pub fn active_since(&self, time: Timestamp) -> HashSet<String> {
        if self.shows_current_owner() {
            self.snapshot.lock().active_since(time)
        } else {
            HashSet::new()
        }
    }

    /// Why the last listing failed; `None` if it succeeded.
    pub fn last_error(&self) -> Option<Issue> {
        self.last_error.lock().clone()
    }

    /// Whether any complete listing exists.
    pub fn is_listed(&self) -> bool {
        self.shows_current_owner() && self.snapshot.lock().as_of().is_some()
    }

    /// The time between two scheduled listings. It grows with the number of pages.
    pub(super) fn listing_interval(&self, settings: &config::Neon) -> Duration {
        drift_calls::listing_interval(self.snapshot.lock().pages(), settings)
    }

    /// Number of Tenants whose compute can be read after a listing, within the budget of calls. Counts
    /// them as read.
    pub(super) fn take_inspections(&self, settings: &config::Neon) -> usize {
        let pages = self.snapshot.lock().pages();
        let now = self.clock.now();
        self.inspection_credit.lock().take(pages, now, settings)
    }
}

async fn read_plan(
    client: &dyn NeonApi,
    owner: &Owner,
) -> Result<Option<AccountPlan>, neon_client::Error> {
    if !owner.is_organization {
        return Ok(AccountPlan::of_user(&client.current_user().await?));
    }
    match owner.id.parse::<OrgId>() {
        Ok(id) => Ok(AccountPlan::of_organization(
            &client.organization(&id).await?,
        )),
        Err(_) => Ok(None),
    }
}
