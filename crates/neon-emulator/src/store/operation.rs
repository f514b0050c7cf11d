//! Operations. Their status at any moment is derived from the times that were stored when they were
//! scheduled.

use neon_client::ids::{BranchId, EndpointId, OperationId, ProjectId};
use neon_client::model::{Operation, OperationAction, OperationStatus};
use sqlx::types::Uuid;

use super::{Store, StoreError, Tx};
use crate::clock::{MILLISECOND, Micros, from_millis, timestamp};
use crate::faults::OperationFault;

/// An operation that follows the ones planned before it.
#[derive(Debug, Clone)]
pub(crate) struct PlannedOperation {
    pub(crate) action: OperationAction,
    pub(crate) branch: BranchId,
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) duration: Micros,
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct OperationRow {
    pub(crate) number: i64,
    id: Uuid,
    project_id: String,
    branch_id: Option<String>,
    endpoint_id: Option<String>,
    action: String,
    created_at_us: Micros,
    starts_at_us: Micros,
    fails_at_us: Option<Micros>,
    pub(crate) ends_at_us: Micros,
    fatal: bool,
    error: Option<String>,
}

impl OperationRow {
    fn planned(
        project: &ProjectId,
        planned: &PlannedOperation,
        now: Micros,
        starts_at: Micros,
    ) -> Self {
        Self {
            number: 0,
            id: Uuid::new_v4(),
            project_id: project.to_string(),
            branch_id: Some(planned.branch.to_string()),
            endpoint_id: planned.endpoint.as_ref().map(ToString::to_string),
            action: planned.action.as_str().to_owned(),
            created_at_us: now,
            starts_at_us: starts_at,
            fails_at_us: None,
            ends_at_us: starts_at.saturating_add(planned.duration),
            fatal: false,
            error: None,
        }
    }

    fn status(&self, now: Micros) -> OperationStatus {
        if now < self.starts_at_us {
            OperationStatus::Scheduling
        } else if now >= self.ends_at_us {
            if self.fatal {
                OperationStatus::Error
            } else {
                OperationStatus::Finished
            }
        } else if self.fails_at_us.is_some_and(|fails| now >= fails) {
            OperationStatus::Failed
        } else {
            OperationStatus::Running
        }
    }

    /// The operation as of a moment.
    pub(crate) fn at(&self, now: Micros) -> Result<Operation, StoreError> {
        let status = self.status(now);
        self.with_status(status, now)
    }

    /// The operation in the response to the call that scheduled it, where it is never finished yet.
    pub(crate) fn when_scheduled(&self, is_first: bool) -> Result<Operation, StoreError> {
        let status = if is_first {
            OperationStatus::Running
        } else {
            OperationStatus::Scheduling
        };
        self.with_status(status, self.created_at_us)
    }

    fn with_status(&self, status: OperationStatus, now: Micros) -> Result<Operation, StoreError> {
        let has_failed = self.fails_at_us.is_some_and(|fails| now >= fails)
            && status != OperationStatus::Running;
        let updated_at = match status {
            OperationStatus::Scheduling => self.created_at_us,
            OperationStatus::Running => self.starts_at_us,
            OperationStatus::Failed => self.fails_at_us.unwrap_or(self.ends_at_us),
            _ => self.ends_at_us,
        };
        let took = updated_at.saturating_sub(self.starts_at_us).max(0) / MILLISECOND;
        Ok(Operation {
            id: OperationId(self.id),
            project_id: self.project_id.parse().map_err(StoreError::corrupt)?,
            branch_id: self
                .branch_id
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(StoreError::corrupt)?,
            endpoint_id: self
                .endpoint_id
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(StoreError::corrupt)?,
            action: OperationAction::from(self.action.clone()),
            error: self.error.clone().filter(|_| has_failed),
            failures_count: i32::from(has_failed),
            retry_at: (status == OperationStatus::Failed).then(|| timestamp(self.ends_at_us)),
            status,
            created_at: timestamp(self.created_at_us),
            updated_at: timestamp(updated_at),
            total_duration_ms: took,
        })
    }
}

const COLUMNS: &str = "number, id, project_id, branch_id, endpoint_id, action, created_at_us, starts_at_us, fails_at_us, \
                       ends_at_us, fatal, error";

impl Store {
    /// Schedules operations one after the other, and locks the project until the last one ends. A
    /// fault applies to the last operation.
    pub(crate) async fn schedule(
        tx: &mut Tx,
        project: &ProjectId,
        now: Micros,
        plan: &[PlannedOperation],
        fault: Option<&OperationFault>,
    ) -> Result<Vec<OperationRow>, StoreError> {
        let mut rows = Vec::with_capacity(plan.len());
        let mut at = now;
        for (index, planned) in plan.iter().enumerate() {
            let mut row = OperationRow::planned(project, planned, now, at);
            if let Some(fault) = fault.filter(|_| index + 1 == plan.len()) {
                row.fails_at_us = Some(row.ends_at_us);
                row.ends_at_us = row
                    .ends_at_us
                    .saturating_add(from_millis(fault.retried_after_ms.unwrap_or(0)));
                row.fatal = fault.retried_after_ms.is_none();
                row.error = Some(fault.error.clone());
            }
            at = row.ends_at_us;
            row.number = insert(tx, &row).await?;
            rows.push(row);
        }
        if plan.is_empty() {
            return Ok(rows);
        }
        sqlx::query("UPDATE projects SET busy_until_us = $2 WHERE id = $1")
            .bind(project.as_str())
            .bind(at)
            .execute(&mut **tx)
            .await?;
        Ok(rows)
    }

    /// Records operations that the platform performs on its own initiative, without locking the
    /// project.
    pub(crate) async fn record_operations(
        tx: &mut Tx,
        project: &ProjectId,
        now: Micros,
        plan: &[PlannedOperation],
    ) -> Result<(), StoreError> {
        for planned in plan {
            insert(tx, &OperationRow::planned(project, planned, now, now)).await?;
        }
        Ok(())
    }

    pub(crate) async fn operation(
        &self,
        project: &ProjectId,
        id: OperationId,
    ) -> Result<OperationRow, StoreError> {
        let sql = select("WHERE project_id = $1 AND id = $2");
        sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(project.as_str())
            .bind(id.0)
            .fetch_optional(self.pool())
            .await?
            .ok_or(StoreError::NotFound("operation"))
    }

    /// Operations of a project, newest first, before the one with this number.
    pub(crate) async fn operations(
        &self,
        project: &ProjectId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<OperationRow>, StoreError> {
        let sql = select("WHERE project_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(project.as_str())
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(self.pool())
            .await?)
    }
}

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM operations {rest}")
}

async fn insert(tx: &mut Tx, row: &OperationRow) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "INSERT INTO operations (id, project_id, branch_id, endpoint_id, action, created_at_us, starts_at_us, fails_at_us,
             ends_at_us, fatal, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING number",
    )
    .bind(row.id)
    .bind(&row.project_id)
    .bind(&row.branch_id)
    .bind(&row.endpoint_id)
    .bind(&row.action)
    .bind(row.created_at_us)
    .bind(row.starts_at_us)
    .bind(row.fails_at_us)
    .bind(row.ends_at_us)
    .bind(row.fatal)
    .bind(&row.error)
    .fetch_one(&mut **tx)
    .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fails_at_us: Option<Micros>, fatal: bool) -> OperationRow {
        OperationRow {
            number: 1,
            id: Uuid::new_v4(),
            project_id: "still-lake-00000001".into(),
            branch_id: None,
            endpoint_id: None,
            action: "start_compute".into(),
            created_at_us: 0,
            starts_at_us: 10,
            fails_at_us,
            ends_at_us: 30,
            fatal,
            error: fails_at_us.map(|_| "no".into()),
        }
    }

    #[test]
    fn an_operation_is_scheduled_runs_and_finishes_by_the_clock() {
        let row = row(None, false);
        let at = |now| row.at(now).unwrap().status;
        assert_eq!(at(0), OperationStatus::Scheduling);
        assert_eq!(at(10), OperationStatus::Running);
        assert_eq!(at(29), OperationStatus::Running);
        assert_eq!(at(30), OperationStatus::Finished);
        assert_eq!(row.at(30).unwrap().error, None);
    }

    #[test]
    fn a_failed_operation_reports_the_error_and_is_retried_or_ends() {
        let retried = row(Some(20), false);
        let failed = retried.at(20).unwrap();
        assert_eq!(
            (failed.status, failed.failures_count),
            (OperationStatus::Failed, 1)
        );
        assert_eq!(failed.error.as_deref(), Some("no"));
        assert!(failed.retry_at.is_some());
        assert_eq!(retried.at(30).unwrap().status, OperationStatus::Finished);
        assert_eq!(
            row(Some(30), true).at(30).unwrap().status,
            OperationStatus::Error
        );
    }
}
