//! Calls for the consumption of projects and branches. They do not wake a compute, and Neon limits
//! them separately to about 30 requests per minute.

use futures::Stream;
use jiff::Timestamp;

use crate::{
    Call, Error, Neon, Route,
    call::decode,
    ids::{BranchId, OrgId, ProjectId},
    model::{
        BranchConsumption, BranchConsumptionPage, Granularity, Metric, ProjectConsumption,
        ProjectConsumptionPage,
    },
    pages::{items, pages},
};

/// Maximum number of projects per page of consumption.
pub const MAX_CONSUMPTION_PROJECTS_PER_PAGE: u16 = 100;
/// Maximum number of branches per page of consumption.
pub const MAX_CONSUMPTION_BRANCHES_PER_PAGE: u16 = 1_000;

/// Query for consumption. All fields are required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumptionQuery {
    org_id: OrgId,
    from: Timestamp,
    to: Timestamp,
    granularity: Granularity,
    metrics: Vec<Metric>,
}

impl ConsumptionQuery {
    /// Queries one metric of an organization's projects between two times at the given granularity.
    /// The API rounds both times to the granularity.
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

    /// Adds a metric.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        if !self.metrics.contains(&metric) {
            self.metrics.push(metric);
        }
        self
    }
}

impl Neon {
    /// Returns the calls for the consumption of projects and branches.
    pub fn consumption(&self) -> Consumption {
        Consumption::new(self.clone())
    }
}

/// Calls for consumption. See [`Neon::consumption`].
#[derive(Debug, Clone)]
pub struct Consumption {
    neon: Neon,
}

impl Consumption {
    pub(crate) fn new(neon: Neon) -> Self {
        Self { neon }
    }

    /// Returns the consumption of projects: `GET /consumption_history/v2/projects`.
    pub fn projects(&self, query: ConsumptionQuery) -> ListProjectConsumption {
        ListProjectConsumption {
            neon: self.neon.clone(),
            query,
            limit: MAX_CONSUMPTION_PROJECTS_PER_PAGE,
            projects: Vec::new(),
        }
    }

    /// Returns the consumption of a project's branches: `GET /consumption_history/v2/branches`.
    pub fn branches(&self, project: ProjectId, query: ConsumptionQuery) -> ListBranchConsumption {
        ListBranchConsumption {
            neon: self.neon.clone(),
            query,
            limit: MAX_CONSUMPTION_BRANCHES_PER_PAGE,
            projects: vec![project],
            branches: Vec::new(),
        }
    }
}

/// Request for the consumption of projects. See [`Consumption::projects`].
#[derive(Debug, Clone)]
#[must_use = "no request is sent until `pages` or `items` is polled"]
pub struct ListProjectConsumption {
    neon: Neon,
    query: ConsumptionQuery,
    limit: u16,
    projects: Vec<ProjectId>,
}

impl ListProjectConsumption {
    /// Sets the number of projects per page, from 1 to [`MAX_CONSUMPTION_PROJECTS_PER_PAGE`], which
    /// is the default.
    pub fn limit(mut self, projects: u16) -> Self {
        self.limit = projects.clamp(1, MAX_CONSUMPTION_PROJECTS_PER_PAGE);
        self
    }

    /// Restricts the list to these projects. The API accepts up to 100.
    pub fn only(mut self, projects: impl IntoIterator<Item = ProjectId>) -> Self {
        self.projects = projects.into_iter().collect();
        self
    }

    /// Returns a stream of pages. Each page is requested when the stream is polled. The list is
    /// complete only if the stream ends without an error.
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
            Call::new(self.neon.clone(), request, decode)
        })
    }

    /// Returns a stream of the projects. The list is complete only if the stream ends without an
    /// error.
    pub fn items(self) -> impl Stream<Item = Result<ProjectConsumption, Error>> + Send {
        items(self.pages(), |page| page.projects)
    }
}

/// Request for the consumption of branches. See [`Consumption::branches`].
#[derive(Debug, Clone)]
#[must_use = "no request is sent until `pages` or `items` is polled"]
pub struct ListBranchConsumption {
    neon: Neon,
    query: ConsumptionQuery,
    limit: u16,
    projects: Vec<ProjectId>,
    branches: Vec<BranchId>,
}

impl ListBranchConsumption {
    /// Sets the number of branches per page, from 1 to [`MAX_CONSUMPTION_BRANCHES_PER_PAGE`], which
    /// is the default.
    pub fn limit(mut self, branches: u16) -> Self {
        self.limit = branches.clamp(1, MAX_CONSUMPTION_BRANCHES_PER_PAGE);
        self
    }

    /// Adds the branches of another project. The API accepts up to 100 projects.
    pub fn and_project(mut self, project: ProjectId) -> Self {
        self.projects.push(project);
        self
    }

    /// Restricts the list to these branches. The API accepts up to 100.
    pub fn only(mut self, branches: impl IntoIterator<Item = BranchId>) -> Self {
        self.branches = branches.into_iter().collect();
        self
    }

    /// Returns a stream of pages. Each page is requested when the stream is polled. The list is
    /// complete only if the stream ends without an error.
    pub fn pages(self) -> impl Stream<Item = Result<BranchConsumptionPage, Error>> + Send {
        pages(move |cursor| {
            let route = Route::ListBranchConsumption;
            let ids = [
                ("project_ids", join(&self.projects)),
                ("branch_ids", join(&self.branches)),
            ];
            let request = request(&self.neon, route, &self.query, self.limit, cursor, &ids);
            Call::new(self.neon.clone(), request, decode)
        })
    }

    /// Returns a stream of the branches. The list is complete only if the stream ends without an
    /// error.
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

/// Joins the values with commas. Returns `None` if there are none.
fn join(values: &[impl ToString]) -> Option<String> {
    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
    (!values.is_empty()).then(|| values.join(","))
}
