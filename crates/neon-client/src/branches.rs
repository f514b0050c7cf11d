//! Calls for the branches of a project.

use futures::{Stream, TryStreamExt};

use crate::{
    Call, Error, Neon, Route,
    call::{decode, decode_optional},
    ids::{BranchId, ProjectId},
    model::{
        Branch, BranchEnvelope, BranchOperations, BranchPage, CreateBranch, CreatedBranch,
        Endpoint, EndpointList, FinalizeRestore, RestoreBranch, StartedOperations, UpdateBranch,
    },
    pages::{items, pages},
};

/// Maximum number of branches per page.
pub const MAX_BRANCHES_PER_PAGE: u16 = 10_000;

impl Neon {
    /// Returns the calls for the branches of a project.
    pub fn branches(&self, project: &ProjectId) -> Branches {
        Branches::new(self.clone(), project.clone())
    }
}

/// Calls for the branches of a project.
#[derive(Debug, Clone)]
pub struct Branches {
    neon: Neon,
    project: ProjectId,
}

impl Branches {
    pub(crate) fn new(neon: Neon, project: ProjectId) -> Self {
        Self { neon, project }
    }

    fn parameters<'a>(&'a self, branch: &'a BranchId) -> [&'a str; 2] {
        [self.project.as_str(), branch.as_str()]
    }

    /// Creates a branch: `POST /projects/{project_id}/branches`. Not retried if the outcome of the
    /// request is unknown.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "every call takes its request by value"
    )]
    pub fn create(&self, branch: CreateBranch) -> Call<CreatedBranch> {
        let request =
            self.neon
                .request_with(Route::CreateBranch, &[self.project.as_str()], &branch);
        Call::new(self.neon.clone(), request, decode)
    }

    /// Lists the branches of the project: `GET /projects/{project_id}/branches`.
    pub fn list(&self) -> ListBranches {
        ListBranches {
            neon: self.neon.clone(),
            project: self.project.clone(),
            limit: None,
            search: None,
            sort: None,
            include_deleted: false,
        }
    }

    /// Returns one branch: `GET /projects/{project_id}/branches/{branch_id}`.
    pub fn get(&self, branch: &BranchId) -> Call<Branch> {
        let request = self
            .neon
            .request(Route::GetBranch, &self.parameters(branch));
        Call::new(self.neon.clone(), request, |body| {
            decode::<BranchEnvelope>(body).map(|envelope| envelope.branch)
        })
    }

    /// Updates a branch: `PATCH /projects/{project_id}/branches/{branch_id}`. The call is
    /// idempotent, because it sets values.
    pub fn update(&self, branch: &BranchId, changes: UpdateBranch) -> Call<BranchOperations> {
        let body = BranchEnvelope { branch: changes };
        let request = self
            .neon
            .request_with(Route::UpdateBranch, &self.parameters(branch), &body);
        Call::new(self.neon.clone(), request, decode)
    }

    /// Deletes a branch and its computes: `DELETE /projects/{project_id}/branches/{branch_id}`.
    /// Returns `None` if the branch did not exist. The default branch, and a branch with children,
    /// cannot be deleted. Neon may keep a deleted branch recoverable for some time.
    pub fn delete(&self, branch: &BranchId) -> Call<Option<BranchOperations>> {
        let request = self
            .neon
            .request(Route::DeleteBranch, &self.parameters(branch));
        Call::new(self.neon.clone(), request, decode_optional)
    }

    /// Like [`delete`](Self::delete), but the branch cannot be recovered.
    pub fn delete_permanently(&self, branch: &BranchId) -> Call<Option<BranchOperations>> {
        let mut request = self
            .neon
            .request(Route::DeleteBranch, &self.parameters(branch));
        request.query([("hard_delete", Some("true"))]);
        Call::new(self.neon.clone(), request, decode_optional)
    }

    /// Resets a branch to the state of another branch, or to an earlier state of its own:
    /// `POST /projects/{project_id}/branches/{branch_id}/restore`. Not retried if the outcome of
    /// the request is unknown.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "every call takes its request by value"
    )]
    pub fn restore(&self, branch: &BranchId, source: RestoreBranch) -> Call<BranchOperations> {
        let request =
            self.neon
                .request_with(Route::RestoreBranch, &self.parameters(branch), &source);
        Call::new(self.neon.clone(), request, decode)
    }

    /// Lets a branch that was restored from a snapshot replace the original one, whose name and
    /// computes it takes over: `POST /projects/{project_id}/branches/{branch_id}/finalize_restore`.
    /// The computes restart and keep their hosts. Not retried if the outcome of the request is unknown.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "every call takes its request by value"
    )]
    pub fn finalize_restore(
        &self,
        branch: &BranchId,
        finalize: FinalizeRestore,
    ) -> Call<StartedOperations> {
        let request =
            self.neon
                .request_with(Route::FinalizeRestore, &self.parameters(branch), &finalize);
        Call::new(self.neon.clone(), request, decode)
    }

    /// Makes a branch the project's default branch:
    /// `POST /projects/{project_id}/branches/{branch_id}/set_as_default`.
    pub fn set_as_default(&self, branch: &BranchId) -> Call<BranchOperations> {
        let request = self
            .neon
            .request(Route::SetDefaultBranch, &self.parameters(branch));
        Call::new(self.neon.clone(), request, decode)
    }

    /// Lists the computes of a branch: `GET /projects/{project_id}/branches/{branch_id}/endpoints`.
    pub fn endpoints(&self, branch: &BranchId) -> Call<Vec<Endpoint>> {
        let request = self
            .neon
            .request(Route::ListBranchEndpoints, &self.parameters(branch));
        Call::new(self.neon.clone(), request, |body| {
            decode::<EndpointList>(body).map(|list| list.endpoints)
        })
    }
}

/// Sort key of a list of branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchSortKey {
    /// Branch name.
    Name,
    /// Creation time.
    CreatedAt,
    /// Time of the last update. This is the API's default.
    UpdatedAt,
}

impl BranchSortKey {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
        }
    }
}

/// Sort order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortOrder {
    /// Smallest value first.
    Ascending,
    /// Greatest value first.
    Descending,
}

impl SortOrder {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }
}

/// Request for a list of branches. See [`Branches::list`].
#[derive(Debug, Clone)]
#[must_use = "no request is sent until `pages` or `items` is polled or `all` is awaited"]
pub struct ListBranches {
    neon: Neon,
    project: ProjectId,
    limit: Option<u16>,
    search: Option<String>,
    sort: Option<(BranchSortKey, SortOrder)>,
    include_deleted: bool,
}

impl ListBranches {
    /// Sets the number of branches per page, from 1 to [`MAX_BRANCHES_PER_PAGE`].
    pub fn limit(mut self, branches: u16) -> Self {
        self.limit = Some(branches.clamp(1, MAX_BRANCHES_PER_PAGE));
        self
    }

    /// Lists only branches whose name or id contains `part`.
    pub fn search(mut self, part: impl Into<String>) -> Self {
        self.search = Some(part.into());
        self
    }

    /// Sorts the branches.
    pub fn sort_by(mut self, key: BranchSortKey, order: SortOrder) -> Self {
        self.sort = Some((key, order));
        self
    }

    /// Includes deleted branches that can still be recovered.
    pub fn include_deleted(mut self) -> Self {
        self.include_deleted = true;
        self
    }

    /// Returns a stream of pages. Each page is requested when the stream is polled. The list is
    /// complete only if the stream ends without an error.
    pub fn pages(self) -> impl Stream<Item = Result<BranchPage, Error>> + Send {
        pages(move |cursor| self.page(cursor))
    }

    /// Returns a stream of the branches. The list is complete only if the stream ends without an
    /// error.
    pub fn items(self) -> impl Stream<Item = Result<Branch, Error>> + Send {
        items(self.pages(), |page| page.branches)
    }

    /// Returns all branches, or an error if a page could not be read.
    pub async fn all(self) -> Result<Vec<Branch>, Error> {
        self.items().try_collect().await
    }

    fn page(&self, cursor: Option<&str>) -> Call<BranchPage> {
        let mut request = self
            .neon
            .request(Route::ListBranches, &[self.project.as_str()]);
        let limit = self.limit.map(|limit| limit.to_string());
        request.query([
            ("limit", limit.as_deref()),
            ("cursor", cursor),
            ("search", self.search.as_deref()),
            ("sort_by", self.sort.map(|(key, _)| key.as_str())),
            ("sort_order", self.sort.map(|(_, order)| order.as_str())),
            ("include_deleted", self.include_deleted.then_some("true")),
        ]);
        Call::new(self.neon.clone(), request, decode)
    }
}
