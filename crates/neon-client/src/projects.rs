//! Calls about projects.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{Stream, TryStreamExt};
use tokio::time::Instant;

use crate::{
    Call, Error, Neon, Permit, Route,
    call::{Limits, read},
    ids::{BranchId, DatabaseName, EndpointId, OrgId, ProjectId, RoleName},
    model::{
        ConnectionUri, CreateProject, CreatedProject, Project, ProjectEnvelope, ProjectPage,
        RecoveredProject, UpdateProject, UpdatedProject,
    },
    pages::{items, pages},
    transport::Request,
};

/// The most projects on one page.
pub const PROJECTS_PER_PAGE_MAX: u16 = 400;

/// The shortest and the longest [`ListProjects::gather_within`], in milliseconds.
const GATHER_MS: std::ops::RangeInclusive<u128> = 100..=30_000;

/// Calls about projects. See [`Neon::projects`].
#[derive(Debug, Clone)]
pub struct Projects {
    neon: Neon,
}

fn read_project(body: &[u8]) -> Result<Project, serde_json::Error> {
    read::<ProjectEnvelope>(body).map(|envelope| envelope.project)
}

impl Projects {
    pub(crate) fn new(neon: Neon) -> Self {
        Self { neon }
    }

    /// Makes a project: `POST /projects`. Two calls make two projects, whatever their names; so it is never sent again when its fate is unknown, and
    /// [`Ambiguous`](crate::ErrorKind::Ambiguous) means: look before you try again. A future dropped while it runs is just as unknown.
    pub fn create(&self, mut project: CreateProject) -> CreateProjectCall {
        project.org_id = project.org_id.or_else(|| self.neon.org_id().cloned());
        let request =
            self.neon
                .request_with(Route::CreateProject, &[], &ProjectEnvelope { project });
        CreateProjectCall {
            call: Call::new(self.neon.clone(), request, read),
            limits: Limits::default(),
        }
    }

    /// One project, with the consumption of this period: `GET /projects/{project_id}`.
    pub fn get(&self, project: &ProjectId) -> Call<Project> {
        Call::new(
            self.neon.clone(),
            self.neon.request(Route::GetProject, &[project.as_str()]),
            read_project,
        )
    }

    /// The account's projects: `GET /projects`.
    pub fn list(&self) -> ListProjects {
        let org_id = self.neon.org_id().cloned();
        ListProjects {
            neon: self.neon.clone(),
            limit: PROJECTS_PER_PAGE_MAX,
            search: None,
            org_id,
            recoverable: false,
            gather_ms: None,
        }
    }

    /// Changes a project: `PATCH /projects/{project_id}`. Values are set, not added: the call is idempotent.
    pub fn update(&self, project: &ProjectId, changes: UpdateProject) -> Call<UpdatedProject> {
        let body = ProjectEnvelope { project: changes };
        Call::new(
            self.neon.clone(),
            self.neon
                .request_with(Route::UpdateProject, &[project.as_str()], &body),
            read,
        )
    }

    /// Deletes a project: `DELETE /projects/{project_id}`. It can be [recovered](Self::recover) for seven days. A deletion that is sent again, because the first answer
    /// was lost, ends as [`NotFound`](crate::ErrorKind::NotFound) with more than one [request](Error::requests).
    pub fn delete(&self, project: &ProjectId) -> Call<Project> {
        Call::new(
            self.neon.clone(),
            self.neon.request(Route::DeleteProject, &[project.as_str()]),
            read_project,
        )
    }

    /// Brings a deleted project back: `POST /projects/{project_id}/recover`. It is never sent again when its fate is unknown.
    pub fn recover(&self, project: &ProjectId) -> Call<RecoveredProject> {
        Call::new(
            self.neon.clone(),
            self.neon
                .request(Route::RecoverProject, &[project.as_str()]),
            read,
        )
    }

    /// A connection URI for a role and a database, on the default branch unless another is named:
    /// `GET /projects/{project_id}/connection_uri`.
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

/// A project to be made. See [`Projects::create`].
#[derive(Debug)]
#[must_use = "nothing is sent before `send` is awaited"]
pub struct CreateProjectCall {
    call: Call<CreatedProject>,
    limits: Limits,
}

impl CreateProjectCall {
    /// Spends this turn instead of waiting for one. A permit of another route or account is given back, and a turn waited for.
    pub fn permit(mut self, permit: Permit) -> Self {
        self.limits.permit = Some(permit);
        self
    }

    /// Nothing is sent after this time, in the first try or a later one: then the call fails with
    /// [`NotSent`](crate::ErrorKind::NotSent). The time is looked at when a connection asks for the request's body; a request
    /// that has lost its body is incomplete, and no server acts on it.
    pub fn not_after(mut self, not_after: impl Into<Instant>) -> Self {
        self.limits.not_after = Some(not_after.into());
        self
    }

    /// Another deadline than the client's.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.limits.deadline = Some(deadline);
        self
    }

    /// Makes the call.
    pub async fn send(self) -> Result<CreatedProject, Error> {
        self.call.limited(self.limits).send().await
    }
}

/// A connection URI to be asked for. See [`Projects::connection_uri`].
#[derive(Debug)]
#[must_use = "nothing is sent before `send` is awaited"]
pub struct ConnectionUriCall {
    neon: Neon,
    request: Request,
}

impl ConnectionUriCall {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.request.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Whether it shall go through the pooler.
    pub fn pooled(self, pooled: bool) -> Self {
        self.with("pooled", if pooled { "true" } else { "false" })
    }

    /// Of this branch.
    pub fn branch(self, branch: &BranchId) -> Self {
        self.with("branch_id", branch.as_str())
    }

    /// Of this compute.
    pub fn endpoint(self, endpoint: &EndpointId) -> Self {
        self.with("endpoint_id", endpoint.as_str())
    }

    /// Makes the call.
    pub async fn send(self) -> Result<ConnectionUri, Error> {
        Call::new(self.neon, self.request, read).send().await
    }
}

/// A list of projects to be read. See [`Projects::list`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `pages` is polled or `all` is awaited"]
pub struct ListProjects {
    neon: Neon,
    limit: u16,
    search: Option<String>,
    org_id: Option<OrgId>,
    recoverable: bool,
    gather_ms: Option<String>,
}

impl ListProjects {
    /// How many projects a page shall have, 1 to [`PROJECTS_PER_PAGE_MAX`], which is the default.
    pub fn limit(mut self, projects: u16) -> Self {
        self.limit = projects.clamp(1, PROJECTS_PER_PAGE_MAX);
        self
    }

    /// Only projects whose name or id contains this.
    pub fn search(mut self, part: impl Into<String>) -> Self {
        self.search = Some(part.into());
        self
    }

    /// Only projects of this organization, instead of the client's.
    pub fn org_id(mut self, org_id: OrgId) -> Self {
        self.org_id = Some(org_id);
        self
    }

    /// Only deleted projects that can still be recovered.
    pub fn recoverable(mut self) -> Self {
        self.recoverable = true;
        self
    }

    /// How long the API may take to gather a page, 100 ms to 30 s. What it did not get by then stands in
    /// [`unavailable_project_ids`](ProjectPage::unavailable_project_ids). The API has a time of its own where none is named.
    pub fn gather_within(mut self, time: Duration) -> Self {
        let ms = time.as_millis().clamp(*GATHER_MS.start(), *GATHER_MS.end());
        self.gather_ms = Some(ms.to_string());
        self
    }

    /// The pages, each read when it is asked for. The list is complete only if the stream ends without an error.
    pub fn pages(self) -> impl Stream<Item = Result<ProjectPage, Error>> + Send {
        pages(move |cursor| self.page(cursor))
    }

    /// The projects, one by one, without those whose details could not be had. The list is complete only if the stream ends without an
    /// error, and [`all`](Self::all) also tells which are missing.
    pub fn items(self) -> impl Stream<Item = Result<Project, Error>> + Send {
        items(self.pages(), |page| page.projects)
    }

    /// Every page, or an error: there is no listing that lacks a page.
    pub async fn all(self) -> Result<Listing, Error> {
        self.all_as(|project| project).await
    }

    /// As [`all`](Self::all), keeping of each project only what `keep` makes of it: of many projects, less than all.
    pub async fn all_as<T>(self, mut keep: impl FnMut(Project) -> T) -> Result<Listing<T>, Error> {
        let mut projects = BTreeMap::new();
        let mut unavailable = BTreeSet::new();
        let mut pages = std::pin::pin!(self.pages());
        while let Some(page) = pages.try_next().await? {
            unavailable.extend(page.unavailable_project_ids);
            // A project that changes while the list is read may stand on two pages; the later is the newer.
            projects.extend(
                page.projects
                    .into_iter()
                    .map(|project| (project.id.clone(), keep(project))),
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
            ("timeout", self.gather_ms.as_deref()),
        ]);
        Call::new(self.neon.clone(), request, read)
    }
}

/// Every project of a list. It exists only if every page was read; so what is in neither of its parts is not in the account, or was
/// made while the list was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing<T = Project> {
    /// The projects, each once.
    pub projects: BTreeMap<ProjectId, T>,
    /// Projects that exist, but whose details could not be had. They are not gone.
    pub unavailable_project_ids: BTreeSet<ProjectId>,
}
