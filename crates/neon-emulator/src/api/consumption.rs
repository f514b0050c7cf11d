//! Consumption of projects and branches per hour, day or month.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Unit};
use neon_client::ids::{BranchId, OrgId, ProjectId};
use neon_client::model::{
    BranchConsumption, BranchConsumptionPage, ConsumptionPeriod, ConsumptionTimeframe, Granularity,
    Metric, MetricValue, Pagination, ProjectConsumption, ProjectConsumptionPage,
};
use uuid::Uuid;

use super::Api;
use super::error::ApiError;
use crate::clock::{SECOND, period_start, timestamp};
use crate::store::{HourlyUsage, StoreError};

const DEFAULT_PROJECTS: usize = 10;
const MAX_PROJECTS: usize = 100;
const DEFAULT_BRANCHES: usize = 100;
const MAX_BRANCHES: usize = 1_000;
/// Maximum number of IDs in a query parameter.
const MAX_IDS: usize = 100;
const PLAN: &str = "scale_v3";
/// Maximum number of timeframes in a response: all hours of a year.
const MAX_TIMEFRAMES: usize = 24 * 31 * 12;

/// Query parameters. Lists are repeated parameters or comma-separated values.
#[derive(Debug)]
struct ConsumptionParams {
    cursor: Option<String>,
    limit: usize,
    project_ids: Vec<ProjectId>,
    branch_ids: Vec<BranchId>,
    from: Timestamp,
    to: Timestamp,
    granularity: Granularity,
    org_id: OrgId,
    metrics: Vec<Metric>,
}

impl ConsumptionParams {
    fn parse(query: Option<&str>, limit: usize, max_limit: usize) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let first = |name: &str| {
            let pair = pairs.iter().find(|(key, _)| key == name);
            pair.map(|(_, value)| value.as_str())
        };
        let required = |name: &str| {
            first(name).ok_or_else(|| ApiError::bad_request(format!("{name} is required")))
        };
        let list = |name: &str| {
            let given = pairs.iter().filter(|(key, _)| key == name);
            let each = given.flat_map(|(_, value)| value.split(','));
            each.filter(|value| !value.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let timestamp_param = |name: &str| {
            let at: Result<Timestamp, _> = required(name)?.parse();
            at.map_err(|_| ApiError::bad_request(format!("{name} must be a date and time")))
        };
        let granularity = Granularity::from(required("granularity")?);
        if let Granularity::Unknown(value) = &granularity {
            return Err(ApiError::bad_request(format!(
                "unknown granularity {value:?}"
            )));
        }
        let metrics: Vec<Metric> = list("metrics").into_iter().map(Metric::from).collect();
        if metrics.is_empty() {
            return Err(ApiError::bad_request("metrics is required"));
        }
        if let Some(Metric::Unknown(value)) = metrics
            .iter()
            .find(|metric| matches!(metric, Metric::Unknown(_)))
        {
            return Err(ApiError::bad_request(format!("unknown metric {value:?}")));
        }
        let limit = first("limit").map_or(Ok(limit), str::parse);
        let limit = limit.ok().filter(|limit| (1..=max_limit).contains(limit));
        let requested = Self {
            cursor: first("cursor").map(str::to_owned),
            limit: limit.ok_or_else(|| {
                ApiError::bad_request(format!("limit must be between 1 and {max_limit}"))
            })?,
            project_ids: ids(list("project_ids"), "project_ids")?,
            branch_ids: ids(list("branch_ids"), "branch_ids")?,
            from: floor(timestamp_param("from")?, &granularity)?,
            to: timestamp_param("to")?,
            granularity,
            org_id: required("org_id")?
                .parse()
                .map_err(|error| ApiError::bad_request(format!("{error}")))?,
            metrics,
        };
        if requested.to <= requested.from {
            return Err(ApiError::bad_request("to must be after from"));
        }
        Ok(requested)
    }

    fn period(
        &self,
        now: Timestamp,
        hours: &[&HourlyUsage],
    ) -> Result<ConsumptionPeriod, ApiError> {
        let mut frames: BTreeMap<Timestamp, Sums> = BTreeMap::new();
        for hour in hours {
            let frame = floor(timestamp(hour.hour_us), &self.granularity)?;
            let sums = frames.entry(frame).or_default();
            sums.compute_us = sums.compute_us.saturating_add(hour.compute_us);
            sums.transferred_bytes = sums
                .transferred_bytes
                .saturating_add(hour.transferred_bytes);
        }
        let start = timestamp(period_start(now.as_microsecond()));
        let consumption = frames
            .into_iter()
            .take(MAX_TIMEFRAMES)
            .map(|(start, sums)| {
                Ok(ConsumptionTimeframe {
                    timeframe_start: Some(start),
                    timeframe_end: Some(next(start, &self.granularity)?),
                    metrics: self
                        .metrics
                        .iter()
                        .map(|metric| sums.value(metric))
                        .collect(),
                })
            })
            .collect::<Result<_, ApiError>>()?;
        Ok(ConsumptionPeriod {
            period_id: Uuid::from_u64_pair(start.as_second().unsigned_abs(), 0),
            period_plan: PLAN.to_owned(),
            period_start: start,
            period_end: None,
            consumption,
        })
    }
}

#[derive(Debug, Default)]
struct Sums {
    compute_us: i64,
    transferred_bytes: i64,
}

impl Sums {
    /// The emulator measures compute time and network transfer; all other metrics are 0.
    fn value(&self, metric: &Metric) -> MetricValue {
        let value = match metric {
            Metric::ComputeUnitSeconds => self.compute_us / SECOND,
            Metric::PublicNetworkTransferBytes => self.transferred_bytes,
            _ => 0,
        };
        MetricValue {
            metric_name: metric.clone(),
            value,
        }
    }
}

fn ids<T: TryFrom<String>>(texts: Vec<String>, name: &str) -> Result<Vec<T>, ApiError> {
    if texts.len() > MAX_IDS {
        return Err(ApiError::bad_request(format!(
            "{name} may hold at most {MAX_IDS} ids"
        )));
    }
    let ids = texts.into_iter().map(T::try_from).collect::<Result<_, _>>();
    ids.map_err(|_| ApiError::bad_request(format!("{name} contains an invalid ID")))
}

/// The start of the timeframe that contains a moment.
fn floor(at: Timestamp, granularity: &Granularity) -> Result<Timestamp, ApiError> {
    let zoned = at.to_zoned(TimeZone::UTC);
    let start = match granularity {
        Granularity::Hourly => zoned.round(
            jiff::ZonedRound::new()
                .smallest(Unit::Hour)
                .mode(jiff::RoundMode::Trunc),
        ),
        Granularity::Daily => zoned.start_of_day(),
        _ => zoned
            .first_of_month()
            .and_then(|first| first.start_of_day()),
    };
    start
        .map(|zoned| zoned.timestamp())
        .map_err(|_| ApiError::bad_request("the timestamp is out of range"))
}

fn next(start: Timestamp, granularity: &Granularity) -> Result<Timestamp, ApiError> {
    let zoned = start.to_zoned(TimeZone::UTC);
    let end = match granularity {
        Granularity::Hourly => zoned.checked_add(1.hour()),
        Granularity::Daily => zoned.checked_add(1.day()),
        _ => zoned.checked_add(1.month()),
    };
    end.map(|zoned| zoned.timestamp())
        .map_err(|_| ApiError::bad_request("the timestamp is out of range"))
}

/// The requested projects of the organization, newest first.
async fn selected_projects(
    api: &Api,
    requested: &ConsumptionParams,
) -> Result<Vec<ProjectId>, ApiError> {
    let all = api
        .store
        .projects_in_organization(requested.org_id.as_str())
        .await?;
    let ids: Vec<ProjectId> = all
        .into_iter()
        .map(|id| id.parse())
        .collect::<Result<_, _>>()
        .map_err(StoreError::corrupt)?;
    Ok(ids
        .into_iter()
        .filter(|id| requested.project_ids.is_empty() || requested.project_ids.contains(id))
        .collect())
}

/// One page of a list, and the cursor of the next page.
fn page<T: Clone>(
    all: &[T],
    cursor: Option<&str>,
    limit: usize,
    name: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<Pagination>), ApiError> {
    let start = match cursor.filter(|cursor| !cursor.is_empty()) {
        None => 0,
        Some(cursor) => {
            let last = all.iter().position(|first| name(first) == cursor);
            1 + last.ok_or_else(|| ApiError::bad_request("invalid cursor"))?
        }
    };
    let page: Vec<T> = all.iter().skip(start).take(limit).cloned().collect();
    let pagination = page.last().map(|first| Pagination {
        cursor: name(first),
    });
    Ok((page, pagination))
}

pub(super) async fn projects(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<Json<ProjectConsumptionPage>, ApiError> {
    let requested = ConsumptionParams::parse(query.as_deref(), DEFAULT_PROJECTS, MAX_PROJECTS)?;
    let all = selected_projects(&api, &requested).await?;
    let (ids, pagination) = page(&all, requested.cursor.as_deref(), requested.limit, |id| {
        id.to_string()
    })?;
    let now = timestamp(api.clock.now());
    let mut projects = Vec::with_capacity(ids.len());
    for id in ids {
        let hours = hours(&api, &requested, &id).await?;
        projects.push(ProjectConsumption {
            periods: vec![requested.period(now, &hours.iter().collect::<Vec<_>>())?],
            project_id: id,
        });
    }
    Ok(Json(ProjectConsumptionPage {
        projects,
        pagination,
    }))
}

pub(super) async fn branches(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<Json<BranchConsumptionPage>, ApiError> {
    let requested = ConsumptionParams::parse(query.as_deref(), DEFAULT_BRANCHES, MAX_BRANCHES)?;
    if requested.project_ids.is_empty() {
        return Err(ApiError::bad_request("project_ids is required"));
    }
    let mut all = Vec::new();
    for project in selected_projects(&api, &requested).await? {
        for branch in api.store.branches(&project).await? {
            let id = branch.branch_id()?;
            if requested.branch_ids.is_empty() || requested.branch_ids.contains(&id) {
                all.push((project.clone(), id));
            }
        }
    }
    let (selected_projects, pagination) = page(
        &all,
        requested.cursor.as_deref(),
        requested.limit,
        |(_, id)| id.to_string(),
    )?;
    let now = timestamp(api.clock.now());
    let mut branches = Vec::with_capacity(selected_projects.len());
    for (project_id, branch_id) in selected_projects {
        let hours = hours(&api, &requested, &project_id).await?;
        let branch_hours: Vec<_> = hours
            .iter()
            .filter(|hour| hour.branch_id == branch_id.as_str())
            .collect();
        branches.push(BranchConsumption {
            periods: vec![requested.period(now, &branch_hours)?],
            project_id,
            branch_id,
        });
    }
    Ok(Json(BranchConsumptionPage {
        branches,
        pagination,
    }))
}

async fn hours(
    api: &Api,
    requested: &ConsumptionParams,
    project: &ProjectId,
) -> Result<Vec<HourlyUsage>, ApiError> {
    api.record_usage(project).await?;
    let (from, to) = (
        requested.from.as_microsecond(),
        requested.to.as_microsecond(),
    );
    Ok(api.store.hourly_usage(project, from, to).await?)
}
