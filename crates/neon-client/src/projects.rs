//! Calls for projects.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{Stream, TryStreamExt};

use crate::{
    Call, Error, Neon, NotAfter, Permit, Route,
    call::{CallOptions, decode},
    ids::{BranchId, DatabaseName, EndpointId, OrgId, ProjectId, RoleName},
    model::{
        ConnectionUri, CreateProject, CreatedProject, Project, ProjectEnvelope, ProjectPage,
        RecoveredProject, UpdateProject, UpdatedProject,
    },
    pages::{items, pages},
    transport::Request,
};

/// Maximum number of projects per page.
pub const MAX_PROJECTS_PER_PAGE: u16 = 400;

/// Range of [`ListProjects::response_timeout`], in milliseconds.
const TIMEOUT_MS: std::ops::RangeInclusive<u128> = 100..=30_000;

impl Neon {
    /// Returns the calls for projects.
    pub fn projects(&self) -> Projects {
        Projects::new(self.clone())
    }
}

/// Calls for projects. See [`Neon::projects`].
#[derive(Debug, Clone)]
pub struct Projects {
    neon: Neon,
}

fn read_project(body: &[u8]) -> Result<Project, serde_json::Error> {
    decode::<ProjectEnvelope>(body).map(|envelope| envelope.project)
}

impl Projects {
    pub(crate) fn new(neon: Neon) -> Self {
        Self { neon }
    }

    /// Creates a project: `POST /projects`. Names are not unique, so two calls create two projects.
    /// The call is therefore not retried if the outcome of the request is unknown; on
    /// [`Ambiguous`](crate::ErrorKind::Ambiguous), check whether the project exists before trying
    /// again. The outcome is equally unknown if the future is dropped.
    pub fn create(&self, mut project: CreateProject) -> CreateProjectCall {
        project.org_id = project.org_id.or_else(|| self.neon.org_id().cloned());
        let request =
            self.neon
                .request_with(Route::CreateProject, &[], &ProjectEnvelope { project });
        CreateProjectCall {
            call: Call::new(self.neon.clone(), request, decode),
            options: CallOptions::default(),
        }
    }

    /// Returns one project with its consumption in the current billing period:
    /// `GET /projects/{project_id}`.
    pub fn get(&self, project: &ProjectId) -> Call<Project> {
        Call::new(
            self.neon.clone(),
            self.neon.request(Route::GetProject, &[project.as_str()]),
            read_project,
        )
    }

    /// Lists the account's projects: `GET /projects`.
    pub fn list(&self) -> ListProjects {
        let org_id = self.neon.org_id().cloned();
        ListProjects {
            neon: self.neon.clone(),
            limit: MAX_PROJECTS_PER_PAGE,
            search: None,
            org_id,
            recoverable: false,
            timeout_ms: None,
        }
    }

    /// Updates a project: `PATCH /projects/{project_id}`. The call is idempotent, because it sets
    /// values.
    pub fn update(&self, project: &ProjectId, changes: UpdateProject) -> Call<UpdatedProject> {
        let body = ProjectEnvelope { project: changes };
        Call::new(
            self.neon.clone(),
            self.neon
                .request_with(Route::UpdateProject, &[project.as_str()], &body),
            decode,
        )
    }

    /// Deletes a project: `DELETE /projects/{project_id}`. It can be [recovered](Self::recover) for
    /// seven days. The response is not decoded: for a project that is already deleted, Neon may
    /// answer with a project whose fields are empty, or with 404. So if a deletion is retried
    /// because the first response was lost, the call succeeds or fails with
    /// [`NotFound`](crate::ErrorKind::NotFound) and more than one [request](Error::requests).
    pub fn delete(&self, project: &ProjectId) -> Call<()> {
        Call::new(
            self.neon.clone(),
            self.neon.request(Route::DeleteProject, &[project.as_str()]),
            |_| Ok(()),
        )
    }

    /// Recovers a deleted project: `POST /projects/{project_id}/recover`. Not retried if the
    /// outcome of the request is unknown.
    pub fn recover(&self, project: &ProjectId) -> Call<RecoveredProject> {
        Call::new(
            self.neon.clone(),
            self.neon
                .request(Route::RecoverProject, &[project.as_str()]),
            decode,
        )
    }

    /// Returns the connection URI for a role and a database:
    /// `GET /projects/{project_id}/connection_uri`. Uses the default branch unless another one is
    /// set.
    pub fn connection_uri(
        &self,
        project: &ProjectId,
        database: &DatabaseName,
        role: &RoleName,
    ) -> ConnectionUriCall {
        let mut request = self
            .neon
            .request(Route::GetConnectionUri, &[project.as_str()]);
        request
            .url
            .query_pairs_mut()
            .append_pair("database_name", database.as_str())
            .append_pair("role_name", role.as_str());
        ConnectionUriCall {
            neon: self.neon.clone(),
            request,
        }
    }
}

/// Call that creates a project. See [`Projects::create`].
#[derive(Debug)]
#[must_use = "no request is sent until `send` is awaited"]
pub struct CreateProjectCall {
    call: Call<CreatedProject>,
    options: CallOptions,
}

impl CreateProjectCall {
    /// Uses a permit obtained from [`Neon::reserve`](crate::Neon::reserve). A permit of another
    /// route or account is released, and the call acquires its own.
    pub fn permit(mut self, permit: Permit) -> Self {
        self.options.permit = Some(permit);
        self
    }

    /// Sets the time after which no request is sent, neither the first nor a retry. The call then
    /// fails with [`NotSent`](crate::ErrorKind::NotSent). The time is checked when the connection
    /// requests the body; a request without its body is incomplete, and no server acts on it.
    pub fn not_after(mut self, not_after: NotAfter) -> Self {
        self.options.not_after = Some(not_after);
        self
    }

    /// Overrides the client's call timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sends the request.
    pub async fn send(self) -> Result<CreatedProject, Error> {
        self.call.with_options(self.options).send().await
    }
}

/// Call that returns a connection URI. See [`Projects::connection_uri`].
#[derive(Debug)]
#[must_use = "no request is sent until `send` is awaited"]
pub struct ConnectionUriCall {
    neon: Neon,
    request: Request,
}

impl ConnectionUriCall {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.request.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Sets whether the URI points to the connection pooler.
    pub fn pooled(self, pooled: bool) -> Self {
        self.with("pooled", if pooled { "true" } else { "false" })
    }

    /// Selects a branch.
    pub fn branch(self, branch: &BranchId) -> Self {
        self.with("branch_id", branch.as_str())
    }

    /// Selects a compute endpoint.
    pub fn endpoint(self, endpoint: &EndpointId) -> Self {
        self.with("endpoint_id", endpoint.as_str())
    }

    /// Sends the request.
    pub async fn send(self) -> Result<ConnectionUri, Error> {
        Call::new(self.neon, self.request, decode).send().await
    }
}

/// Request for a list of projects. See [`Projects::list`].
#[derive(Debug, Clone)]
#[must_use = "no request is sent until `pages` is polled or `all` is awaited"]
pub struct ListProjects {
    neon: Neon,
    limit: u16,
    search: Option<String>,
    org_id: Option<OrgId>,
    recoverable: bool,
    timeout_ms: Option<String>,
}

impl ListProjects {
    /// Sets the number of projects per page, from 1 to [`MAX_PROJECTS_PER_PAGE`], which is the
    /// default.
    pub fn limit(mut self, projects: u16) -> Self {
        self.limit = projects.clamp(1, MAX_PROJECTS_PER_PAGE);
        self
    }

    /// Lists only projects whose name or id contains `part`.
    pub fn search(mut self, part: impl Into<String>) -> Self {
        self.search = Some(part.into());
        self
    }

    /// Lists only the projects of this organization instead of the client's.
    pub fn org_id(mut self, org_id: OrgId) -> Self {
        self.org_id = Some(org_id);
        self
    }

    /// Lists only deleted projects that can still be recovered.
    pub fn recoverable(mut self) -> Self {
        self.recoverable = true;
        self
    }

    /// Sets how long the API may take to collect a page, from 100 ms to 30 s. Projects that it
    /// could not read in time are returned in
    /// [`unavailable_project_ids`](ProjectPage::unavailable_project_ids). If not set, the API uses
    /// its own default.
    pub fn response_timeout(mut self, time: Duration) -> Self {
        let ms = time
            .as_millis()
            .clamp(*TIMEOUT_MS.start(), *TIMEOUT_MS.end());
        self.timeout_ms = Some(ms.to_string());
        self
    }

    /// Returns a stream of pages. Each page is requested when the stream is polled. The list is
    /// complete only if the stream ends without an error.
    pub fn pages(self) -> impl Stream<Item = Result<ProjectPage, Error>> + Send {
        pages(move |cursor| self.page(cursor))
    }

    /// Returns a stream of the projects, without those that were unavailable. The list is complete
    /// only if the stream ends without an error. [`all`](Self::all) also returns the ids of
    /// unavailable projects.
    pub fn items(self) -> impl Stream<Item = Result<Project, Error>> + Send {
        items(self.pages(), |page| page.projects)
    }

    /// Returns the complete listing, or an error if a page could not be read.
    pub async fn all(self) -> Result<Listing, Error> {
        self.all_mapped(|project| project).await
    }

    /// Like [`all`](Self::all), but converts each project with `map`. Use it to keep only a part of
    /// each project when there are many.
    pub async fn all_mapped<T>(
        self,
        mut map: impl FnMut(Project) -> T,
    ) -> Result<Listing<T>, Error> {
        let mut projects = BTreeMap::new();
        let mut unavailable = BTreeSet::new();
        let mut pages = std::pin::pin!(self.pages());
        while let Some(page) = pages.try_next().await? {
            unavailable.extend(page.unavailable_project_ids);
            // A project that is updated while the list is read can be on two pages. The later entry
            // is newer.
            projects.extend(
                page.projects
                    .into_iter()
                    .map(|project| (project.id.clone(), map(project))),
            );
        }
        unavailable.retain(|id| !projects.contains_key(id));
        Ok(Listing {
            projects,
            unavailable_project_ids: unavailable,
        })
    }

    fn page(&self, cursor: Option<&str>) -> Call<ProjectPage> {
        let mut request = self.neon.request(Route::ListProjects, &[]);
        let limit = self.limit.to_string();
        request.query([
            ("limit", Some(limit.as_str())),
            ("cursor", cursor),
            ("search", self.search.as_deref()),
            ("org_id", self.org_id.as_ref().map(OrgId::as_str)),
            ("recoverable", self.recoverable.then_some("true")),
            ("timeout", self.timeout_ms.as_deref()),
        ]);
        Call::new(self.neon.clone(), request, decode)
    }
}

/// A complete listing of projects. It exists only if every page was read. A project in neither
/// field does not exist in the account, or was created while the list was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing<T = Project> {
    /// The projects by id.
    pub projects: BTreeMap<ProjectId, T>,
    /// Projects that exist but could not be read. They have not been deleted.
    pub unavailable_project_ids: BTreeSet<ProjectId>,
}
