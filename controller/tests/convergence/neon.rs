//! The simulated Neon account. Each project has one branch, one compute, one role and one database.

mod project;

use std::sync::Arc;

use controller::identity::marked_tenant;
use controller::neon::{NeonApi, NeonCall};
use crds::annotations;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use neon_client::ids::{
    BranchId, DatabaseName, EndpointId, OperationId, OrgId, ProjectId, RoleName, SnapshotId,
};
use neon_client::model::{
    AuthDetails, AuthMethod, Branch, BranchOperations, ConnectionUri, CreateBranch, CreateProject,
    CreateSnapshot, CreatedBranch, CreatedProject, CreatedSnapshot, CurrentUser,
    DefaultEndpointSettings, Endpoint, EndpointOperations, FinalizeRestore, Operation,
    Organization, Project, ProjectPage, ProjectSettings, RecoveredProject, RestoreBranch,
    RestoreSnapshot, RestoredSnapshot, Role, RoleOperations, Snapshot, StartedOperations,
    UpdateBranch, UpdateEndpoint, UpdateProject, UpdatedProject,
};
use neon_client::{BuildError, Error, ErrorKind, NotAfter, Permit, Route};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use project::parsed;

pub(crate) use project::project_of_host;

use crate::events::Key;
use crate::world::{Outcome, SimulatedProject, State, World, installation, organization};

/// From a password reset until its operation has finished.
const OPERATION_DURATION_MS: u128 = 1_000;

/// The organization of the simulated account.
pub(crate) const ORGANIZATION: &str = "org-simulated-1";
/// The organization to which [`Key::Foreign`] belongs. It has no projects.
const FOREIGN_ORGANIZATION: &str = "org-foreign-2";

#[derive(Clone, Debug)]
pub(crate) struct SimulatedNeon {
    world: World,
    background: bool,
    key: Key,
}

impl State {
    fn existing(&mut self, id: &ProjectId) -> Result<&mut SimulatedProject, ErrorKind> {
        self.live(id).ok_or(ErrorKind::NotFound)
    }

    /// Panics unless the project belongs to the Tenant, and if it has data, its deletion was
    /// ordered.
    fn check_deletion(&self, id: &ProjectId) {
        let tenant = self
            .tenant
            .as_ref()
            .expect("only a Tenant's project is deleted");
        let recorded = tenant
            .status
            .as_ref()
            .and_then(|status| status.project.as_ref())
            .is_some_and(|project| project.id == id.as_str());
        let marked = self.projects.get(id).is_some_and(|project| {
            marked_tenant(&project.project.name, &installation())
                .is_some_and(|uid| tenant.metadata.uid == Some(uid.to_string()))
        });
        assert!(recorded || marked, "{id} does not belong to the Tenant");
        let project = &self.projects[id];
        let named = tenant
            .annotations()
            .get(annotations::DELETE_DUPLICATE)
            .is_some_and(|named| named == id.as_str());
        let ordered = project
            .made_for
            .is_some_and(|uid| self.ordered_deletions.contains(&uid));
        assert!(
            named || ordered || !project.has_data(),
            "{id} has data, and its deletion was not ordered"
        );
    }

    /// Adds a project that belongs to no Tenant, and of which listings contain only the id.
    pub(crate) fn add_stranger(&mut self) {
        let (id, now) = (self.next_project_id(), self.now());
        let body = CreateProject {
            region_id: Some("aws-eu-central-1".parse().expect("a valid region")),
            pg_version: Some(17),
            ..CreateProject::named("a stranger's")
        };
        let password = self.new_password();
        let mut project = SimulatedProject::new(&id, body, password, now);
        project.project.org_id = Some(organization());
        self.listed_by_id.insert(id.clone());
        self.projects.insert(id, project);
    }

    fn is_unreadable(&self) -> bool {
        self.now() < self.unreadable_until
    }
}

impl SimulatedNeon {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            background: false,
            key: Key::Valid,
        }
    }

    /// What the API key gives access to. A foreign one gives access to an account without projects.
    fn check_key(&self, route: Route) -> Result<(), ErrorKind> {
        match (self.key, route) {
            (Key::Valid, _) | (Key::Foreign, Route::GetAuthDetails | Route::ListProjects) => Ok(()),
            (Key::Revoked, _) => Err(ErrorKind::Auth),
            (Key::Foreign, _) => Err(ErrorKind::NotFound),
        }
    }

    /// A call that reads.
    fn read<T: Send + 'static>(
        &self,
        route: Route,
        read: impl FnOnce(&mut State) -> Result<T, ErrorKind> + Send + 'static,
    ) -> NeonCall<T> {
        let (world, background) = (self.world.clone(), self.background);
        let access = self.check_key(route);
        async move {
            let outcome = if background {
                world.half_call().await;
                None
            } else {
                world.start_call().await;
                world.state().neon_outcomes.pop_front()
            };
            let result = access.and_then(|()| read(&mut world.state()));
            world.half_call().await;
            match outcome {
                None | Some(Outcome::Answered) => result.map_err(|kind| Error::new(route, kind)),
                Some(_) => Err(Error::new(route, ErrorKind::Timeout)),
            }
        }
        .boxed()
    }

    /// A call that changes something.
    fn write<T: Send + 'static>(
        &self,
        route: Route,
        change: impl FnOnce(&mut State) -> Result<T, ErrorKind> + Send + 'static,
    ) -> NeonCall<T> {
        assert_ne!(
            self.key,
            Key::Foreign,
            "{route} is called in another account"
        );
        let (world, access) = (self.world.clone(), self.check_key(route));
        async move {
            world.start_call().await;
            if let Err(kind) = access {
                return Err(Error::new(route, kind));
            }
            let outcome = world.state().neon_outcomes.pop_front();
            if outcome == Some(Outcome::Refused) {
                return Err(Error::new(route, ErrorKind::Unavailable { sent: true }));
            }
            world.crash_point().await;
            let result = change(&mut world.state());
            world.crash_point().await;
            world.half_call().await;
            match outcome {
                None | Some(Outcome::Answered) => result.map_err(|kind| Error::new(route, kind)),
                Some(_) if route.is_idempotent() => Err(Error::new(route, ErrorKind::Timeout)),
                Some(_) => Err(Error::new(route, ErrorKind::Ambiguous)),
            }
        }
        .boxed()
    }
}

impl NeonApi for SimulatedNeon {
    fn with_access(
        &self,
        _: Option<OrgId>,
        key: SecretString,
    ) -> Result<Arc<dyn NeonApi>, BuildError> {
        Ok(Arc::new(Self {
            key: Key::parse(key.expose_secret()).expect("a key of the simulation"),
            ..self.clone()
        }))
    }

    fn background(&self) -> Arc<dyn NeonApi> {
        Arc::new(Self {
            background: true,
            ..self.clone()
        })
    }

    fn rate_fraction(&self) -> f64 {
        1.0
    }

    fn auth_details(&self) -> NeonCall<AuthDetails> {
        let owner = if self.key == Key::Foreign {
            FOREIGN_ORGANIZATION
        } else {
            ORGANIZATION
        };
        self.read(Route::GetAuthDetails, move |_| {
            Ok(AuthDetails {
                account_id: owner.to_owned(),
                auth_method: AuthMethod::ApiKeyOrg,
            })
        })
    }

    /// The keys of the simulation belong to organizations.
    fn current_user(&self) -> NeonCall<CurrentUser> {
        async { Err(Error::new(Route::GetCurrentUser, ErrorKind::Auth)) }.boxed()
    }

    fn organization(&self, id: &OrgId) -> NeonCall<Organization> {
        let id = id.clone();
        self.read(Route::GetOrganization, move |_| {
            Ok(Organization {
                name: id.to_string(),
                handle: id.to_string(),
                id,
                plan: "scale_v3".to_owned(),
                managed_by: "console".to_owned(),
                created_at: Timestamp::UNIX_EPOCH,
                updated_at: Timestamp::UNIX_EPOCH,
            })
        })
    }

    fn reserve_creation(&self) -> NeonCall<Option<Permit>> {
        async { Ok(None) }.boxed()
    }

    fn create_project(
        &self,
        body: CreateProject,
        _: Option<Permit>,
        not_after: NotAfter,
    ) -> NeonCall<CreatedProject> {
        assert_ne!(
            self.key,
            Key::Foreign,
            "a project is created in another account"
        );
        let (world, access) = (self.world.clone(), self.check_key(Route::CreateProject));
        let error = |kind| Error::new(Route::CreateProject, kind);
        async move {
            world.start_call().await;
            access.map_err(error)?;
            let now = world.state().now();
            if not_after.has_passed_at(now) {
                return Err(error(ErrorKind::NotSent));
            }
            let outcome = world.state().creation_outcomes.pop_front();
            if outcome == Some(Outcome::Refused) {
                return Err(error(ErrorKind::Unavailable { sent: false }));
            }
            world.crash_point().await;
            let created = {
                let mut state = world.state();
                let branch = body.branch.clone().unwrap_or_default();
                let (id, password) = (state.next_project_id(), state.new_password());
                let mut project = SimulatedProject::new(&id, body, password, state.now());
                project.project.org_id = Some(state.creates_in.clone());
                let created = project.created(
                    branch.database_name.expect("a database name"),
                    branch.role_name.expect("a role name"),
                );
                if let Some(Outcome::Late(seconds)) = outcome {
                    let lateness = SignedDuration::from_secs(i64::from(seconds));
                    let at = state.now() + lateness.min(state.max_lateness);
                    state.in_flight.push((at, project));
                } else {
                    state.insert_project(project);
                }
                created
            };
            world.crash_point().await;
            world.half_call().await;
            match outcome {
                None | Some(Outcome::Answered) => Ok(created),
                Some(_) => Err(error(ErrorKind::Ambiguous)),
            }
        }
        .boxed()
    }

    fn project(&self, id: &ProjectId) -> NeonCall<Project> {
        let id = id.clone();
        self.read(Route::GetProject, move |state| {
            if state.is_unreadable() {
                return Err(ErrorKind::Unavailable { sent: true });
            }
            Ok(state.existing(&id)?.project.clone())
        })
    }

    fn update_project(&self, id: &ProjectId, changes: UpdateProject) -> NeonCall<UpdatedProject> {
        let id = id.clone();
        self.write(Route::UpdateProject, move |state| {
            let now = state.now();
            let project = &mut state.existing(&id)?.project;
            project.name = changes.name.unwrap_or_else(|| project.name.clone());
            if let Some(changes) = changes.settings {
                merge_settings(project.settings.get_or_insert_default(), changes);
            }
            if let Some(changes) = changes.default_endpoint_settings {
                merge_compute_defaults(
                    project.default_endpoint_settings.get_or_insert_default(),
                    &changes,
                );
            }
            project.history_retention_seconds = changes
                .history_retention_seconds
                .or(project.history_retention_seconds);
            project.updated_at = now;
            Ok(UpdatedProject {
                project: project.clone(),
                operations: Vec::new(),
            })
        })
    }

    fn delete_project(&self, id: &ProjectId) -> NeonCall<()> {
        let id = id.clone();
        self.write(Route::DeleteProject, move |state| {
            state.existing(&id)?;
            state.check_deletion(&id);
            let project = state.existing(&id)?;
            project.deleted = true;
            Ok(())
        })
    }

    fn recover_project(&self, id: &ProjectId) -> NeonCall<RecoveredProject> {
        let id = id.clone();
        self.write(Route::RecoverProject, move |state| {
            let now = state.now();
            let project = state
                .projects
                .get_mut(&id)
                .filter(|project| !project.purged);
            let project = project.ok_or(ErrorKind::NotFound)?;
            project.deleted = false;
            project.project.updated_at = now;
            Ok(RecoveredProject {
                project: project.project.clone(),
                branches: Vec::new(),
            })
        })
    }

    fn recoverable_project(&self, id: &ProjectId) -> NeonCall<Option<Project>> {
        let id = id.clone();
        self.read(Route::ListProjects, move |state| {
            let deleted = state
                .projects
                .get(&id)
                .filter(|project| project.deleted && !project.purged);
            Ok(deleted.map(|project| project.project.clone()))
        })
    }

    /// A background listing is answered with what existed at its start, once listings are released.
    fn list_projects(&self, _: u16) -> BoxStream<'static, Result<ProjectPage, Error>> {
        let foreign = self.key == Key::Foreign;
        let page = move |state: &mut State| {
            if foreign {
                ProjectPage::default()
            } else {
                page(state)
            }
        };
        let answer = self.read(Route::ListProjects, move |state| Ok(page(state)));
        let access = self.check_key(Route::ListProjects);
        let world = self.world.clone();
        let background = self.background;
        stream::once(async move {
            if !background {
                return answer.await;
            }
            access.map_err(|kind| Error::new(Route::ListProjects, kind))?;
            let page = page(&mut world.state());
            world.half_call().await;
            world.listings_released().await;
            Ok(page)
        })
        .boxed()
    }

    fn connection_uri(
        &self,
        id: &ProjectId,
        _: Option<(&BranchId, &EndpointId)>,
        database: &DatabaseName,
        role: &RoleName,
    ) -> NeonCall<ConnectionUri> {
        let (id, database, role) = (id.clone(), database.clone(), role.clone());
        self.read(Route::GetConnectionUri, move |state| {
            let uri = state.existing(&id)?.connection_uri(&database, &role);
            Ok(ConnectionUri { uri })
        })
    }

    fn list_endpoints(&self, id: &ProjectId) -> NeonCall<Vec<Endpoint>> {
        let id = id.clone();
        self.read(Route::ListEndpoints, move |state| {
            Ok(vec![state.existing(&id)?.endpoint.clone()])
        })
    }

    fn update_endpoint(
        &self,
        id: &ProjectId,
        _: &EndpointId,
        changes: UpdateEndpoint,
    ) -> NeonCall<EndpointOperations> {
        let id = id.clone();
        self.write(Route::UpdateEndpoint, move |state| {
            let now = state.now();
            let project = state.existing(&id)?;
            let endpoint = &mut project.endpoint;
            if let Some(min) = changes.autoscaling_limit_min_cu {
                endpoint.autoscaling_limit_min_cu = min;
            }
            if let Some(max) = changes.autoscaling_limit_max_cu {
                endpoint.autoscaling_limit_max_cu = max;
            }
            if let Some(seconds) = changes.suspend_timeout_seconds {
                endpoint.suspend_timeout_seconds = seconds;
            }
            endpoint.updated_at = now;
            project.project.updated_at = now;
            Ok(EndpointOperations {
                endpoint: endpoint.clone(),
                operations: Vec::new(),
            })
        })
    }

    fn suspend_endpoint(&self, id: &ProjectId, _: &EndpointId) -> NeonCall<EndpointOperations> {
        let id = id.clone();
        self.write(Route::SuspendEndpoint, move |state| {
            let project = state.existing(&id)?;
            Ok(EndpointOperations {
                endpoint: project.endpoint.clone(),
                operations: Vec::new(),
            })
        })
    }

    fn reset_password(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        role: &RoleName,
    ) -> NeonCall<RoleOperations> {
        let (id, branch, role) = (id.clone(), branch.clone(), role.clone());
        self.write(Route::ResetRolePassword, move |state| {
            let (now, password) = (state.now(), state.new_password());
            assert!(
                !state.password_reset,
                "a reconciliation resets a password at most once"
            );
            let project = state.existing(&id)?;
            project.password.clone_from(&password);
            state.password_reset = true;
            Ok(RoleOperations {
                role: Role {
                    password: Some(password.into()),
                    ..parsed(json!({
                        "branch_id": branch, "name": role, "created_at": now, "updated_at": now,
                    }))
                },
                operations: vec![operation(&id, OperationId(uuid(now)), now)],
            })
        })
    }

    fn branch_named(&self, id: &ProjectId, name: &str) -> NeonCall<Option<Branch>> {
        let (id, name) = (id.clone(), name.to_owned());
        self.read(Route::ListBranches, move |state| {
            let mut branches = state.existing(&id)?.branches.iter();
            let found = branches.find(|(branch, _)| branch.name == name);
            Ok(found.map(|(branch, _)| branch.clone()))
        })
    }

    fn create_branch(&self, id: &ProjectId, body: CreateBranch) -> NeonCall<CreatedBranch> {
        let id = id.clone();
        self.write(Route::CreateBranch, move |state| {
            let now = state.now();
            let project = state.existing(&id)?;
            let name = body.branch.name.expect("a name");
            project.check_branch_name(&name)?;
            let branch = Branch {
                expires_at: body.branch.expires_at,
                ..project.new_branch(&name, now)
            };
            project.branches.push((branch.clone(), project.schema));
            Ok(parsed(json!({ "branch": branch })))
        })
    }

    fn update_branch(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        changes: UpdateBranch,
    ) -> NeonCall<BranchOperations> {
        let (id, branch) = (id.clone(), branch.clone());
        self.write(Route::UpdateBranch, move |state| {
            let (found, _) = state.existing(&id)?.branch(&branch)?;
            found.expires_at = changes.expires_at.unwrap_or(found.expires_at);
            Ok(parsed(json!({ "branch": found })))
        })
    }

    fn restore_branch(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        body: RestoreBranch,
    ) -> NeonCall<BranchOperations> {
        let (id, branch) = (id.clone(), branch.clone());
        self.write(Route::RestoreBranch, move |state| {
            let now = state.now();
            let project = state.existing(&id)?;
            let name = body.preserve_under_name.expect("a name");
            project.check_branch_name(&name)?;
            let (source, version) = project.branch(&body.source_branch_id)?;
            if source.expires_at.is_some() {
                return Err(ErrorKind::Invalid);
            }
            let version = *version;
            assert_eq!(
                branch, project.endpoint.branch_id,
                "restores another branch"
            );
            let restored = project.new_branch("main", now);
            project.replace_branch(restored.id.clone(), version, &name, now);
            Ok(parsed(json!({ "branch": restored })))
        })
    }

    fn finalize_restore(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        body: FinalizeRestore,
    ) -> NeonCall<StartedOperations> {
        let (id, branch) = (id.clone(), branch.clone());
        self.write(Route::FinalizeRestore, move |state| {
            let now = state.now();
            let project = state.existing(&id)?;
            let name = body.name.expect("a name");
            project.check_branch_name(&name)?;
            let version = project.branch(&branch)?.1;
            project.branches.retain(|(other, _)| other.id != branch);
            project.replace_branch(branch, version, &name, now);
            Ok(StartedOperations::default())
        })
    }

    fn snapshot_named(&self, id: &ProjectId, name: &str) -> NeonCall<Option<Snapshot>> {
        let (id, name) = (id.clone(), name.to_owned());
        self.read(Route::ListSnapshots, move |state| {
            let mut snapshots = state.existing(&id)?.snapshots.iter();
            let found = snapshots.find(|(snapshot, _)| snapshot.name == name);
            Ok(found.map(|(snapshot, _)| snapshot.clone()))
        })
    }

    fn create_snapshot(
        &self,
        id: &ProjectId,
        branch: &BranchId,
        body: CreateSnapshot,
    ) -> NeonCall<CreatedSnapshot> {
        let (id, branch) = (id.clone(), branch.clone());
        self.write(Route::CreateSnapshot, move |state| {
            let now = state.now();
            let project = state.existing(&id)?;
            let snapshot = Snapshot {
                expires_at: body.expires_at,
                ..parsed(json!({
                    "id": format!("snap-{id}-{}", project.snapshots.len() + 1),
                    "name": body.name, "source_branch_id": branch, "created_at": now,
                }))
            };
            project.snapshots.push((snapshot.clone(), project.schema));
            Ok(parsed(json!({ "snapshot": snapshot })))
        })
    }

    fn restore_snapshot(
        &self,
        id: &ProjectId,
        snapshot: &SnapshotId,
        body: RestoreSnapshot,
    ) -> NeonCall<RestoredSnapshot> {
        let (id, snapshot) = (id.clone(), snapshot.clone());
        self.write(Route::RestoreSnapshot, move |state| {
            let now = state.now();
            let project = state.existing(&id)?;
            let name = body.name.expect("a name");
            project.check_branch_name(&name)?;
            let mut snapshots = project.snapshots.iter();
            let found = snapshots.find(|(other, _)| other.id == snapshot);
            let version = found.ok_or(ErrorKind::NotFound)?.1;
            let target = body.target_branch_id;
            assert_eq!(target.as_ref(), Some(&project.endpoint.branch_id));
            let restored = project.new_branch(&name, now);
            project.branches.push((restored.clone(), version));
            Ok(parsed(json!({ "branch": restored })))
        })
    }

    fn operation(&self, id: &ProjectId, operation_id: OperationId) -> NeonCall<Operation> {
        let id = id.clone();
        self.read(Route::GetOperation, move |state| {
            Ok(operation(&id, operation_id, state.now()))
        })
    }

    fn latest_operations(&self, id: &ProjectId, _: u16) -> NeonCall<Vec<Operation>> {
        let id = id.clone();
        self.read(Route::ListOperations, move |state| {
            state.existing(&id)?;
            Ok(Vec::new())
        })
    }
}

/// A setting that a change leaves out keeps its value.
fn merge_settings(settings: &mut ProjectSettings, changes: ProjectSettings) {
    let quota = settings.quota.get_or_insert_default();
    let change = changes.quota.unwrap_or_default();
    quota.active_time_seconds = change.active_time_seconds.or(quota.active_time_seconds);
    quota.compute_time_seconds = change.compute_time_seconds.or(quota.compute_time_seconds);
    quota.written_data_bytes = change.written_data_bytes.or(quota.written_data_bytes);
    quota.data_transfer_bytes = change.data_transfer_bytes.or(quota.data_transfer_bytes);
    quota.logical_size_bytes = change.logical_size_bytes.or(quota.logical_size_bytes);
    settings.allowed_ips = changes.allowed_ips.or(settings.allowed_ips.take());
}

fn merge_compute_defaults(
    defaults: &mut DefaultEndpointSettings,
    changes: &DefaultEndpointSettings,
) {
    let min = changes.autoscaling_limit_min_cu;
    defaults.autoscaling_limit_min_cu = min.or(defaults.autoscaling_limit_min_cu);
    let max = changes.autoscaling_limit_max_cu;
    defaults.autoscaling_limit_max_cu = max.or(defaults.autoscaling_limit_max_cu);
    let suspend = changes.suspend_timeout_seconds;
    defaults.suspend_timeout_seconds = suspend.or(defaults.suspend_timeout_seconds);
}

fn page(state: &mut State) -> ProjectPage {
    let projects = state.listed_in_organization();
    let unavailable = state.unavailable_listings > 0;
    state.unavailable_listings = state.unavailable_listings.saturating_sub(1);
    if unavailable || state.is_unreadable() {
        return ProjectPage {
            unavailable_project_ids: projects.into_iter().map(|project| project.id).collect(),
            ..ProjectPage::default()
        };
    }
    let (by_id, projects) = projects
        .into_iter()
        .partition::<Vec<_>, _>(|project| state.listed_by_id.contains(&project.id));
    ProjectPage {
        projects,
        unavailable_project_ids: by_id.into_iter().map(|project| project.id).collect(),
        ..ProjectPage::default()
    }
}

/// The id of an operation contains the time at which it began.
fn uuid(began_at: Timestamp) -> uuid::Uuid {
    uuid::Uuid::from_u128(began_at.as_millisecond().unsigned_abs().into())
}

fn operation(project: &ProjectId, id: OperationId, now: Timestamp) -> Operation {
    let finished_at = id.0.as_u128() + OPERATION_DURATION_MS;
    let finished = u128::from(now.as_millisecond().unsigned_abs()) >= finished_at;
    parsed(json!({
        "id": id.0, "project_id": project, "action": "apply_config",
        "status": if finished { "finished" } else { "running" },
        "created_at": now, "updated_at": now,
    }))
}
