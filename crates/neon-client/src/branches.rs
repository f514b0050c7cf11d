//! Calls about a project's branches.

use futures::{Stream, TryStreamExt};

use crate::{
    Call, Error, Neon, Route,
    call::{read, read_unless_gone},
    ids::{BranchId, ProjectId},
    model::{
        Branch, BranchEnvelope, BranchOperations, BranchPage, CreateBranch, CreatedBranch,
        Endpoint, EndpointList, RestoreBranch, UpdateBranch,
    },
    pages::{items, pages},
};

/// The most branches on one page.
pub const BRANCHES_PER_PAGE_MAX: u16 = 10_000;

/// Calls about a project's branches. See [`Neon::branches`].
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

    /// Makes a branch: `POST /projects/{project_id}/branches`. It is never sent again when its fate is unknown.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "requests are given away, in this call as in all others"
    )]
    pub fn create(&self, branch: CreateBranch) -> Call<CreatedBranch> {
        let request =
            self.neon
                .request_with(Route::CreateBranch, &[self.project.as_str()], &branch);
        Call::new(self.neon.clone(), request, read)
    }

    /// The project's branches: `GET /projects/{project_id}/branches`.
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

    /// One of them: `GET /projects/{project_id}/branches/{branch_id}`.
    pub fn get(&self, branch: &BranchId) -> Call<Branch> {
        let request = self
            .neon
            .request(Route::GetBranch, &self.parameters(branch));
        Call::new(self.neon.clone(), request, |body| {
            read::<BranchEnvelope>(body).map(|envelope| envelope.branch)
        })
    }

    /// Changes one: `PATCH /projects/{project_id}/branches/{branch_id}`. Values are set, not added: the call is idempotent.
    pub fn update(&self, branch: &BranchId, changes: UpdateBranch) -> Call<BranchOperations> {
        let body = BranchEnvelope { branch: changes };
        let request = self
            .neon
            .request_with(Route::UpdateBranch, &self.parameters(branch), &body);
        Call::new(self.neon.clone(), request, read)
    }

    /// Removes one, with its computes: `DELETE /projects/{project_id}/branches/{branch_id}`. `None` says that it was gone already. The
    /// default branch, and one with children, cannot be removed. The platform may keep what was removed for a while.
    pub fn delete(&self, branch: &BranchId) -> Call<Option<BranchOperations>> {
        let request = self
            .neon
            .request(Route::DeleteBranch, &self.parameters(branch));
        Call::new(self.neon.clone(), request, read_unless_gone)
    }

    /// As [`delete`](Self::delete), for good: it cannot be brought back.
    pub fn delete_for_good(&self, branch: &BranchId) -> Call<Option<BranchOperations>> {
        let mut request = self
            .neon
            .request(Route::DeleteBranch, &self.parameters(branch));
        request.query([("hard_delete", Some("true"))]);
        Call::new(self.neon.clone(), request, read_unless_gone)
    }

    /// Sets one to the state of another, or to one of its own past: `POST /projects/{project_id}/branches/{branch_id}/restore`. It
    /// is never sent again when its fate is unknown.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "requests are given away, in this call as in all others"
    )]
    pub fn restore(&self, branch: &BranchId, source: RestoreBranch) -> Call<BranchOperations> {
        let request =
            self.neon
                .request_with(Route::RestoreBranch, &self.parameters(branch), &source);
        Call::new(self.neon.clone(), request, read)
    }

    /// Makes one the branch that calls mean which name none: `POST /projects/{project_id}/branches/{branch_id}/set_as_default`.
    pub fn set_as_default(&self, branch: &BranchId) -> Call<BranchOperations> {
        let request = self
            .neon
            .request(Route::SetDefaultBranch, &self.parameters(branch));
        Call::new(self.neon.clone(), request, read)
    }

    /// The computes of one: `GET /projects/{project_id}/branches/{branch_id}/endpoints`.
    pub fn endpoints(&self, branch: &BranchId) -> Call<Vec<Endpoint>> {
        let request = self
            .neon
            .request(Route::ListBranchEndpoints, &self.parameters(branch));
        Call::new(self.neon.clone(), request, |body| {
            read::<EndpointList>(body).map(|list| list.endpoints)
        })
    }
}

/// What a list of branches is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchOrder {
    /// By name.
    Name,
    /// By when they were made.
    CreatedAt,
    /// By when they last changed: the API's default.
    UpdatedAt,
}

impl BranchOrder {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
        }
    }
}

/// Which end of an order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

impl Direction {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }
}

/// A list of branches to be read. See [`Branches::list`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `pages` or `items` is polled, or `all` is awaited"]
pub struct ListBranches {
    neon: Neon,
    project: ProjectId,
    limit: Option<u16>,
    search: Option<String>,
    sort: Option<(BranchOrder, Direction)>,
    include_deleted: bool,
}

impl ListBranches {
    /// How many branches a page shall have, 1 to [`BRANCHES_PER_PAGE_MAX`].
    pub fn limit(mut self, branches: u16) -> Self {
        self.limit = Some(branches.clamp(1, BRANCHES_PER_PAGE_MAX));
        self
    }

    /// Only branches whose name or id contains this.
    pub fn search(mut self, part: impl Into<String>) -> Self {
        self.search = Some(part.into());
        self
    }

    /// In this order.
    pub fn sort_by(mut self, order: BranchOrder, direction: Direction) -> Self {
        self.sort = Some((order, direction));
        self
    }

    /// Deleted branches too, as long as they can be brought back.
    pub fn include_deleted(mut self) -> Self {
        self.include_deleted = true;
        self
    }

    /// The pages, each read when it is asked for. The list is complete only if the stream ends without an error.
    pub fn pages(self) -> impl Stream<Item = Result<BranchPage, Error>> + Send {
        pages(move |cursor| self.page(cursor))
    }

    /// The branches, one by one. The list is complete only if the stream ends without an error.
    pub fn items(self) -> impl Stream<Item = Result<Branch, Error>> + Send {
        items(self.pages(), |page| page.branches)
    }

    /// Every branch, or an error.
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
            ("sort_by", self.sort.map(|(order, _)| order.as_str())),
            (
                "sort_order",
                self.sort.map(|(_, direction)| direction.as_str()),
            ),
            ("include_deleted", self.include_deleted.then_some("true")),
        ]);
        Call::new(self.neon.clone(), request, read)
    }
}
