//! Calls about what projects and branches used up. They wake no compute, and have a quota of their own of about 30 a minute.

use futures::Stream;
use jiff::Timestamp;

use crate::{
    Call, Error, Neon, Route,
    call::read,
    ids::{BranchId, OrgId, ProjectId},
    model::{
        BranchConsumption, BranchConsumptionPage, Granularity, Metric, ProjectConsumption,
        ProjectConsumptionPage,
    },
    pages::{items, pages},
};

/// The most projects on one page of consumption.
pub const CONSUMPTION_PROJECTS_PER_PAGE_MAX: u16 = 100;
/// The most branches on one page of consumption.
pub const CONSUMPTION_BRANCHES_PER_PAGE_MAX: u16 = 1_000;

/// What is asked about consumption: all of it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumptionQuery {
    org_id: OrgId,
    from: Timestamp,
    to: Timestamp,
    granularity: Granularity,
    metrics: Vec<Metric>,
}

impl ConsumptionQuery {
    /// This metric of this organization's projects, between two moments, in steps of this length. The API rounds both moments to a step.
    pub fn new(
        org_id: OrgId,
        from: Timestamp,
        to: Timestamp,
        granularity: Granularity,
        metric: Metric,
    ) -> Self {
        Self {
            org_id,
            from,
            to,
            granularity,
            metrics: vec![metric],
        }
    }

    /// The same with another metric too.
    #[must_use]
    pub fn and(mut self, metric: Metric) -> Self {
        if !self.metrics.contains(&metric) {
            self.metrics.push(metric);
        }
        self
    }
}

/// Calls about consumption. See [`Neon::consumption`].
#[derive(Debug, Clone)]
pub struct Consumption {
    neon: Neon,
}

impl Consumption {
    pub(crate) fn new(neon: Neon) -> Self {
        Self { neon }
    }

    /// What projects used up: `GET /consumption_history/v2/projects`.
    pub fn projects(&self, query: ConsumptionQuery) -> ListProjectConsumption {
        ListProjectConsumption {
            neon: self.neon.clone(),
            query,
            limit: CONSUMPTION_PROJECTS_PER_PAGE_MAX,
            projects: Vec::new(),
        }
    }

    /// What the branches of a project used up: `GET /consumption_history/v2/branches`.
    pub fn branches(&self, project: ProjectId, query: ConsumptionQuery) -> ListBranchConsumption {
        ListBranchConsumption {
            neon: self.neon.clone(),
            query,
            limit: CONSUMPTION_BRANCHES_PER_PAGE_MAX,
            projects: vec![project],
            branches: Vec::new(),
        }
    }
}

/// What projects used up, to be read. See [`Consumption::projects`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `pages` or `items` is polled"]
pub struct ListProjectConsumption {
    neon: Neon,
    query: ConsumptionQuery,
    limit: u16,
    projects: Vec<ProjectId>,
}

impl ListProjectConsumption {
    /// How many projects a page shall have, 1 to [`CONSUMPTION_PROJECTS_PER_PAGE_MAX`], which is the default.
    pub fn limit(mut self, projects: u16) -> Self {
        self.limit = projects.clamp(1, CONSUMPTION_PROJECTS_PER_PAGE_MAX);
        self
    }

    /// Only these projects; the API takes up to 100.
    pub fn only(mut self, projects: impl IntoIterator<Item = ProjectId>) -> Self {
        self.projects = projects.into_iter().collect();
        self
    }

    /// The pages, each read when it is asked for. The list is complete only if the stream ends without an error.
    pub fn pages(self) -> impl Stream<Item = Result<ProjectConsumptionPage, Error>> + Send {
        pages(move |cursor| {
            let route = Route::ListProjectConsumption;
            let request = request(
                &self.neon,
                route,
                &self.query,
                self.limit,
                cursor,
                &[("project_ids", join(&self.projects))],
            );
            Call::new(self.neon.clone(), request, read)
        })
    }

    /// The projects, one by one. The list is complete only if the stream ends without an error.
    pub fn items(self) -> impl Stream<Item = Result<ProjectConsumption, Error>> + Send {
        items(self.pages(), |page| page.projects)
    }
}

/// What branches used up, to be read. See [`Consumption::branches`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `pages` or `items` is polled"]
pub struct ListBranchConsumption {
    neon: Neon,
    query: ConsumptionQuery,
    limit: u16,
    projects: Vec<ProjectId>,
    branches: Vec<BranchId>,
}

impl ListBranchConsumption {
    /// How many branches a page shall have, 1 to [`CONSUMPTION_BRANCHES_PER_PAGE_MAX`], which is the default.
    pub fn limit(mut self, branches: u16) -> Self {
        self.limit = branches.clamp(1, CONSUMPTION_BRANCHES_PER_PAGE_MAX);
        self
    }

    /// The branches of this project too; the API takes up to 100 projects.
    pub fn and_of(mut self, project: ProjectId) -> Self {
        self.projects.push(project);
        self
    }

    /// Only these branches; the API takes up to 100.
    pub fn only(mut self, branches: impl IntoIterator<Item = BranchId>) -> Self {
        self.branches = branches.into_iter().collect();
        self
    }

    /// The pages, each read when it is asked for. The list is complete only if the stream ends without an error.
    pub fn pages(self) -> impl Stream<Item = Result<BranchConsumptionPage, Error>> + Send {
        pages(move |cursor| {
            let route = Route::ListBranchConsumption;
            let ids = [
                ("project_ids", join(&self.projects)),
                ("branch_ids", join(&self.branches)),
            ];
            let request = request(&self.neon, route, &self.query, self.limit, cursor, &ids);
            Call::new(self.neon.clone(), request, read)
        })
    }

    /// The branches, one by one. The list is complete only if the stream ends without an error.
    pub fn items(self) -> impl Stream<Item = Result<BranchConsumption, Error>> + Send {
        items(self.pages(), |page| page.branches)
    }
}

fn request(
    neon: &Neon,
    route: Route,
    query: &ConsumptionQuery,
    limit: u16,
    cursor: Option<&str>,
    ids: &[(&str, Option<String>)],
) -> crate::transport::Request {
    let mut request = neon.request(route, &[]);
    let (limit, from, to) = (
        limit.to_string(),
        query.from.to_string(),
        query.to.to_string(),
    );
    let metrics = join(&query.metrics);
    request.query([
        ("limit", Some(limit.as_str())),
        ("cursor", cursor),
        ("from", Some(&from)),
        ("to", Some(&to)),
        ("granularity", Some(query.granularity.as_str())),
        ("org_id", Some(query.org_id.as_str())),
        ("metrics", metrics.as_deref()),
    ]);
    request.query(ids.iter().map(|(name, ids)| (*name, ids.as_deref())));
    request
}

/// Values with commas between them; nothing where there are none.
fn join(values: &[impl ToString]) -> Option<String> {
    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
    (!values.is_empty()).then(|| values.join(","))
}
