//! Usage per hour: active time, compute time and transferred bytes.
//!
//! Active time is not counted continuously. When a compute changes or its usage is read, the active
//! time since the last recording is derived from the times of its start, its last use and its
//! suspension.

use std::collections::HashMap;

use neon_client::ids::ProjectId;

use super::{EndpointRow, Store, StoreError, Tx};
use crate::clock::{Micros, SECOND};

pub(crate) const HOUR: Micros = 3_600 * SECOND;
/// One compute unit, in thousandths.
const MILLIS_PER_UNIT: f64 = 1000.0;

/// The usage of a branch in one hour.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct HourlyUsage {
    pub(crate) branch_id: String,
    pub(crate) hour_us: Micros,
    /// Active time multiplied by the compute size.
    pub(crate) compute_us: Micros,
    pub(crate) transferred_bytes: i64,
}

/// Usage since some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Usage {
    pub(crate) active_us: Micros,
    /// Active time multiplied by the compute size.
    pub(crate) compute_us: Micros,
    pub(crate) transferred_bytes: i64,
}

#[derive(Debug, sqlx::FromRow)]
struct ProjectUsage {
    project_id: String,
    #[sqlx(flatten)]
    used: Usage,
}

/// A period within one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HourSlice {
    hour: Micros,
    duration: Micros,
}

/// Splits a period at full hours.
fn by_hour(from: Micros, to: Micros) -> Vec<HourSlice> {
    let mut pieces = Vec::new();
    let mut at = from;
    while at < to {
        let hour = at - at.rem_euclid(HOUR);
        let end = to.min(hour + HOUR);
        pieces.push(HourSlice {
            hour,
            duration: end - at,
        });
        at = end;
    }
    pieces
}

/// The active time of a compute that is not recorded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unrecorded {
    from: Micros,
    until: Micros,
    /// The size of the compute in thousandths of a compute unit.
    milli_cu: i64,
}

fn unrecorded(row: &EndpointRow, until: Micros, now: Micros) -> Unrecorded {
    let from = row
        .usage_recorded_us
        .unwrap_or(row.ready_at_us)
        .max(row.ready_at_us);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "compute sizes are small numbers of quarters"
    )]
    let milli_cu = (row.min_cu * MILLIS_PER_UNIT).round() as i64;
    Unrecorded {
        from,
        until: until.min(now),
        milli_cu,
    }
}

impl Usage {
    /// Adds the active time of a compute since the last recording, but not before `since` or after
    /// `until`.
    pub(crate) fn add_unrecorded(
        &mut self,
        row: &EndpointRow,
        since: Micros,
        until: Micros,
        now: Micros,
    ) {
        let period = unrecorded(row, until, now);
        let active = period.until.saturating_sub(period.from.max(since)).max(0);
        self.active_us += active;
        self.compute_us += active.saturating_mul(period.milli_cu) / 1_000;
    }
}

impl Store {
    /// Records the active time of a compute since the last recording, but not after `until`.
    pub(crate) async fn record_usage(
        tx: &mut Tx,
        row: &mut EndpointRow,
        until: Micros,
        now: Micros,
    ) -> Result<(), StoreError> {
        let period = unrecorded(row, until, now);
        for piece in by_hour(period.from, period.until) {
            Self::add_usage(
                tx,
                &row.project_id,
                &row.branch_id,
                piece.hour,
                piece.duration,
                period.milli_cu,
                0,
            )
            .await?;
        }
        row.usage_recorded_us = Some(now);
        sqlx::query("UPDATE endpoints SET usage_recorded_us = $2 WHERE id = $1")
            .bind(&row.id)
            .bind(now)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    pub(crate) async fn add_transfer(
        &self,
        project: &str,
        branch: &str,
        bytes: u64,
        now: Micros,
    ) -> Result<(), StoreError> {
        if bytes == 0 {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let hour = now - now.rem_euclid(HOUR);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        Self::add_usage(&mut tx, project, branch, hour, 0, 0, bytes).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn add_usage(
        tx: &mut Tx,
        project: &str,
        branch: &str,
        hour: Micros,
        active: Micros,
        milli_cu: i64,
        bytes: i64,
    ) -> Result<(), StoreError> {
        // The project may have been purged when its last bytes are recorded.
        sqlx::query(
            "INSERT INTO usage_hours AS used (project_id, branch_id, hour_us, active_us, compute_milli_us, transferred_bytes)
             SELECT id, $2, $3, $4, $4::numeric * $5, $6 FROM projects WHERE id = $1 FOR KEY SHARE
             ON CONFLICT (project_id, branch_id, hour_us) DO UPDATE SET active_us = used.active_us + excluded.active_us,
                 compute_milli_us = used.compute_milli_us + excluded.compute_milli_us,
                 transferred_bytes = used.transferred_bytes + excluded.transferred_bytes",
        )
        .bind(project)
        .bind(branch)
        .bind(hour)
        .bind(active)
        .bind(milli_cu)
        .bind(bytes)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// The usage of a project, or of one of its branches, since a moment.
    pub(crate) async fn usage(
        &self,
        project: &str,
        branch: Option<&str>,
        since: Micros,
    ) -> Result<Usage, StoreError> {
        Ok(sqlx::query_as(
            "SELECT coalesce(sum(active_us), 0)::bigint AS active_us,
                 coalesce(trunc(sum(compute_milli_us) / 1000), 0)::bigint AS compute_us,
                 coalesce(sum(transferred_bytes), 0)::bigint AS transferred_bytes
             FROM usage_hours WHERE project_id = $1 AND ($2::text IS NULL OR branch_id = $2) AND hour_us >= $3",
        )
        .bind(project)
        .bind(branch)
        .bind(since)
        .fetch_one(self.pool())
        .await?)
    }

    /// The usage of each of these projects since a moment. Projects without any are omitted.
    pub(crate) async fn usages(
        &self,
        projects: &[&str],
        since: Micros,
    ) -> Result<HashMap<String, Usage>, StoreError> {
        let rows: Vec<ProjectUsage> = sqlx::query_as(
            "SELECT project_id, coalesce(sum(active_us), 0)::bigint AS active_us,
                 coalesce(trunc(sum(compute_milli_us) / 1000), 0)::bigint AS compute_us,
                 coalesce(sum(transferred_bytes), 0)::bigint AS transferred_bytes
             FROM usage_hours WHERE project_id = ANY($1) AND hour_us >= $2 GROUP BY project_id",
        )
        .bind(projects)
        .bind(since)
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.project_id, row.used))
            .collect())
    }

    /// The usage of a project per hour.
    pub(crate) async fn hourly_usage(
        &self,
        project: &ProjectId,
        from: Micros,
        to: Micros,
    ) -> Result<Vec<HourlyUsage>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT branch_id, hour_us, trunc(compute_milli_us / 1000)::bigint AS compute_us, transferred_bytes
             FROM usage_hours WHERE project_id = $1 AND hour_us >= $2 AND hour_us < $3 ORDER BY hour_us, branch_id",
        )
        .bind(project.as_str())
        .bind(from)
        .bind(to)
        .fetch_all(self.pool())
        .await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_split_at_full_hours() {
        assert_eq!(by_hour(5, 5), []);
        assert_eq!(
            by_hour(HOUR - 2, 2 * HOUR + 3),
            [
                HourSlice {
                    hour: 0,
                    duration: 2
                },
                HourSlice {
                    hour: HOUR,
                    duration: HOUR
                },
                HourSlice {
                    hour: 2 * HOUR,
                    duration: 3
                }
            ]
        );
    }
}
