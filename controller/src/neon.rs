//! The port to a Neon account: the calls that the controller makes.
//!
//! Only this module calls Neon. The other modules use [`NeonApi`], which simulations implement as
//! well.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use neon_client::ids::{
    BranchId, DatabaseName, EndpointId, OperationId, OrgId, ProjectId, RoleName, SnapshotId,
};
use neon_client::model::{
    AuthDetails, Branch, BranchOperations, ConnectionUri, CreateBranch, CreateProject,
    CreateSnapshot, CreatedBranch, CreatedProject, CreatedSnapshot, CurrentUser, Endpoint,
    EndpointOperations, FinalizeRestore, Operation, Organization, Project, ProjectPage,
    RecoveredProject, RestoreBranch, RestoreSnapshot, RestoredSnapshot, RoleOperations, Snapshot,
    StartedOperations, UpdateBranch, UpdateEndpoint, UpdateProject, UpdatedProject,
};
use neon_client::{AccountQuota, BuildError, Error, Neon, NotAfter, Permit, Priority, Route};
use secrecy::SecretString;
use url::Url;

use crate::config;
use crate::telemetry::Metrics;

/// How long a call may wait for the account's rate limiter. Creating a thousand Tenants takes about
/// a minute and a half of the rate limit.
const QUOTA_WAIT_TIMEOUT: Duration = Duration::from_mins(15);

/// A call that has not been sent yet.
pub type NeonCall<T> = BoxFuture<'static, Result<T, Error>>;

/// A client of one Neon account. See [`neon_client`] for the calls.
pub trait NeonApi: Send + Sync {
    /// A client of the same account with another API key and organization. It shares the account's
    /// rate limit.
    fn with_access(
        &self,
        org_id: Option<OrgId>,
        api_key: SecretString,
    ) -> Result<Arc<dyn NeonApi>, BuildError>;

    /// A client whose calls let those of other clients of the account go first.
    fn background(&self) -> Arc<dyn NeonApi>;

    /// The fraction of the account's rate at which calls are made: 1, or less for some time after Neon
    /// answered with 429.
    fn rate_fraction(&self) -> f64;

    /// Whom the API key belongs to.
    fn auth_details(&self) -> NeonCall<AuthDetails>;

    /// The user to whom the API key belongs.
    fn current_user(&self) -> NeonCall<CurrentUser>;

    fn organization(&self, id: &OrgId) -> NeonCall<Organization>;

    /// Waits for a permit to create a project; `None` if the account has no rate limit.
    fn reserve_creation(&self) -> NeonCall<Option<Permit>>;

    /// Creates a project. No request is sent after `not_after`.
    fn create_project(
        &self,
        body: CreateProject,
        permit: Option<Permit>,
        not_after: NotAfter,
    ) -> NeonCall<CreatedProject>;

    fn project(&self, id: &ProjectId) -> NeonCall<Project>;

    fn update_project(&self, id: &ProjectId, changes: UpdateProject) -> NeonCall<UpdatedProject>;

    fn delete_project(&self, id: &ProjectId) -> NeonCall<()>;

    fn recover_project(&self, id: &ProjectId) -> NeonCall<RecoveredProject>;

    /// The deleted project with this id, if it can be recovered.
    fn recoverable_project(&self, id: &ProjectId) -> NeonCall<Option<Project>>;

    /// The pages of a listing of all projects. The listing is complete if no page is an error.
    fn list_projects(&self, page_size: u16) -> BoxStream<'static, Result<ProjectPage, Error>>;

    /// The connection string of the direct host: of the given compute, or of the default branch's.
    fn connection_uri(
        &self,
        id: &ProjectId,
        compute: Option<(&BranchId, &EndpointId)>,
        database: &DatabaseName,
        role: &RoleName,
    ) -> NeonCall<ConnectionUri>;

    fn list_endpoints(&self, id: &ProjectId) -> NeonCall<Vec<Endpoint>>;

    fn update_endpoint(
        &self,
        id: &ProjectId,
        endpoint: &EndpointId,
        changes: UpdateEndpoint,
    ) -> NeonCall<EndpointOperations>;

    fn suspend_endpoint(
        &self,
        id: &ProjectId,
        endpoint: &EndpointId,
    ) -> NeonCall<EndpointOperations>;

    fn reset_password(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        role: &RoleName,
    ) -> NeonCall<RoleOperations>;

    /// The branch of a project with this name.
    fn branch_named(&self, id: &ProjectId, name: &str) -> NeonCall<Option<Branch>>;

    fn create_branch(&self, id: &ProjectId, body: CreateBranch) -> NeonCall<CreatedBranch>;

    fn update_branch(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        changes: UpdateBranch,
    ) -> NeonCall<BranchOperations>;

    /// Restores a branch to the state of another one.
    fn restore_branch(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        body: RestoreBranch,
    ) -> NeonCall<BranchOperations>;

    /// Lets a branch that was restored from a snapshot replace the original one.
    fn finalize_restore(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        body: FinalizeRestore,
    ) -> NeonCall<StartedOperations>;

    /// A snapshot of a project with this name.
    fn snapshot_named(&self, id: &ProjectId, name: &str) -> NeonCall<Option<Snapshot>>;

    fn create_snapshot(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        body: CreateSnapshot,
    ) -> NeonCall<CreatedSnapshot>;

    /// Restores a snapshot to a new branch.
    fn restore_snapshot(
        &self,
        id: &ProjectId,
        snapshot: &SnapshotId,
        body: RestoreSnapshot,
    ) -> NeonCall<RestoredSnapshot>;

    fn operation(&self, id: &ProjectId, operation: OperationId) -> NeonCall<Operation>;

    /// The latest operations of a project, newest first.
    fn latest_operations(&self, id: &ProjectId, limit: u16) -> NeonCall<Vec<Operation>>;
}

/// Creates the client of an account from the base URL of its API, the organization and the API key.
pub type NeonConnector =
    dyn Fn(Url, Option<OrgId>, SecretString) -> Result<Arc<dyn NeonApi>, BuildError> + Send + Sync;

/// Creates clients of the Neon API.
pub fn neon_connector(settings: &config::Neon, metrics: Arc<Metrics>) -> Box<NeonConnector> {
    let (rate_limit, call_timeout) = (settings.rate_limit.get(), settings.call_timeout);
    Box::new(move |base_url, org_id, api_key| {
        let client = Neon::builder()
            .api_key(api_key)
            .base_url(base_url)
            .quota(quota(rate_limit))
            .org_id(org_id)
            .call_timeout(call_timeout)
            .queue_timeout(QUOTA_WAIT_TIMEOUT)
            .observer(metrics.clone())
            .build()?;
        Ok(Arc::new(client))
    })
}

/// The client's quota for this many calls a minute. Neon limits the calls to one route in
/// proportion: 40 a second for 700 a minute.
fn quota(calls_per_minute: u32) -> AccountQuota {
    let neon = AccountQuota::default();
    let scaled = u64::from(calls_per_minute) * u64::from(neon.per_route_per_second);
    let per_route = scaled.div_ceil(u64::from(neon.requests_per_minute));
    AccountQuota {
        requests_per_minute: calls_per_minute,
        per_route_per_second: u32::try_from(per_route).unwrap_or(u32::MAX),
        ..neon
    }
}

impl NeonApi for Neon {
    fn with_access(
        &self,
        org_id: Option<OrgId>,
        api_key: SecretString,
    ) -> Result<Arc<dyn NeonApi>, BuildError> {
        Ok(Arc::new(self.with_org_id(org_id).with_api_key(api_key)?))
    }

    fn background(&self) -> Arc<dyn NeonApi> {
        Arc::new(self.with_priority(Priority::Background))
    }

    fn rate_fraction(&self) -> f64 {
        Self::rate_fraction(self)
    }

    fn auth_details(&self) -> NeonCall<AuthDetails> {
        self.users().auth().send().boxed()
    }

    fn current_user(&self) -> NeonCall<CurrentUser> {
        self.users().me().send().boxed()
    }

    fn organization(&self, id: &OrgId) -> NeonCall<Organization> {
        self.organizations().get(id).send().boxed()
    }

    fn reserve_creation(&self) -> NeonCall<Option<Permit>> {
        let neon = self.clone();
        async move { neon.reserve(Route::CreateProject).await.map(Some) }.boxed()
    }

    fn create_project(
        &self,
        body: CreateProject,
        permit: Option<Permit>,
        not_after: NotAfter,
    ) -> NeonCall<CreatedProject> {
        let mut call = self.projects().create(body).not_after(not_after);
        if let Some(permit) = permit {
            call = call.permit(permit);
        }
        call.send().boxed()
    }

    fn project(&self, id: &ProjectId) -> NeonCall<Project> {
        self.projects().get(id).send().boxed()
    }

    fn update_project(&self, id: &ProjectId, changes: UpdateProject) -> NeonCall<UpdatedProject> {
        self.projects().update(id, changes).send().boxed()
    }

    fn delete_project(&self, id: &ProjectId) -> NeonCall<()> {
        self.projects().delete(id).send().boxed()
    }

    fn recover_project(&self, id: &ProjectId) -> NeonCall<RecoveredProject> {
        self.projects().recover(id).send().boxed()
    }

    fn recoverable_project(&self, id: &ProjectId) -> NeonCall<Option<Project>> {
        let deleted = self.projects().list().recoverable().search(id.as_str());
        let id = id.clone();
        async move { Ok(deleted.all().await?.projects.remove(&id)) }.boxed()
    }

    fn list_projects(&self, page_size: u16) -> BoxStream<'static, Result<ProjectPage, Error>> {
        self.projects().list().limit(page_size).pages().boxed()
    }

    fn connection_uri(
        &self,
        id: &ProjectId,
        compute: Option<(&BranchId, &EndpointId)>,
        database: &DatabaseName,
        role: &RoleName,
    ) -> NeonCall<ConnectionUri> {
        let mut call = self.projects().connection_uri(id, database, role);
        if let Some((branch, endpoint)) = compute {
            call = call.branch(branch).endpoint(endpoint);
        }
        call.pooled(false).send().boxed()
    }

    fn list_endpoints(&self, id: &ProjectId) -> NeonCall<Vec<Endpoint>> {
        self.endpoints(id).list().send().boxed()
    }

    fn update_endpoint(
        &self,
        id: &ProjectId,
        endpoint: &EndpointId,
        changes: UpdateEndpoint,
    ) -> NeonCall<EndpointOperations> {
        self.endpoints(id).update(endpoint, changes).send().boxed()
    }

    fn suspend_endpoint(
        &self,
        id: &ProjectId,
        endpoint: &EndpointId,
    ) -> NeonCall<EndpointOperations> {
        self.endpoints(id).suspend(endpoint).send().boxed()
    }

    fn reset_password(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        role: &RoleName,
    ) -> NeonCall<RoleOperations> {
        self.roles(id, branch).reset_password(role).send().boxed()
    }

    fn branch_named(&self, id: &ProjectId, name: &str) -> NeonCall<Option<Branch>> {
        let branches = self.branches(id).list().search(name);
        let name = name.to_owned();
        async move {
            let mut found = branches.all().await?.into_iter();
            Ok(found.find(|branch| branch.name == name))
        }
        .boxed()
    }

    fn create_branch(&self, id: &ProjectId, body: CreateBranch) -> NeonCall<CreatedBranch> {
        self.branches(id).create(body).send().boxed()
    }

    fn update_branch(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        changes: UpdateBranch,
    ) -> NeonCall<BranchOperations> {
        self.branches(id).update(branch, changes).send().boxed()
    }

    fn restore_branch(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        body: RestoreBranch,
    ) -> NeonCall<BranchOperations> {
        self.branches(id).restore(branch, body).send().boxed()
    }

    fn finalize_restore(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        body: FinalizeRestore,
    ) -> NeonCall<StartedOperations> {
        self.branches(id)
            .finalize_restore(branch, body)
            .send()
            .boxed()
    }

    fn snapshot_named(&self, id: &ProjectId, name: &str) -> NeonCall<Option<Snapshot>> {
        let (snapshots, name) = (self.snapshots(id).list(), name.to_owned());
        async move {
            let mut found = snapshots.send().await?.into_iter();
            Ok(found.find(|snapshot| snapshot.name == name))
        }
        .boxed()
    }

    fn create_snapshot(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        body: CreateSnapshot,
    ) -> NeonCall<CreatedSnapshot> {
        self.snapshots(id).create(branch, body).send().boxed()
    }

    fn restore_snapshot(
        &self,
        id: &ProjectId,
        snapshot: &SnapshotId,
        body: RestoreSnapshot,
    ) -> NeonCall<RestoredSnapshot> {
        self.snapshots(id).restore(snapshot, body).send().boxed()
    }

    fn operation(&self, id: &ProjectId, operation: OperationId) -> NeonCall<Operation> {
        self.operations(id).get(operation).send().boxed()
    }

    fn latest_operations(&self, id: &ProjectId, limit: u16) -> NeonCall<Vec<Operation>> {
        let call = self.operations(id).list().limit(limit).first_page();
        async move { Ok(call.send().await?.operations) }.boxed()
    }
}
