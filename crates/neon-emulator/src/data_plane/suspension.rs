//! Suspends computes that have open connections: after the suspend timeout without activity, or
//! when the project's quota is exhausted.

use std::collections::BTreeSet;

use neon_client::ids::{EndpointId, ProjectId};
use neon_client::model::OperationAction;

use super::{DataPlane, admission};
use crate::clock::from_millis;
use crate::compute::{self, Compute};
use crate::store::{PlannedOperation, Store, StoreError};

impl DataPlane {
    /// Checks every compute that has open connections. Concurrent checks wait for each other.
    pub(crate) async fn check_computes(&self) -> Result<(), StoreError> {
        let _one_check = self.compute_checks.lock().await;
        let sessions = self.sessions.all();
        for session in &sessions {
            let bytes = session.activity.take_transferred();
            self.store
                .add_transfer(&session.project, &session.branch, bytes, self.clock.now())
                .await?;
        }
        let computes: BTreeSet<_> = sessions
            .into_iter()
            .map(|session| (session.project, session.endpoint))
            .collect();
        for (project, endpoint) in computes {
            self.check_compute(&project, &endpoint).await?;
        }
        Ok(())
    }

    async fn check_compute(&self, project: &str, endpoint: &str) -> Result<(), StoreError> {
        let id: EndpointId = endpoint.parse().map_err(StoreError::corrupt)?;
        let Some(route) = self.store.route(&id).await? else {
            self.sessions.terminate_endpoint(project, endpoint);
            return Ok(());
        };
        let quota = route.project_settings.quota.filter(admission::has_limits);
        let is_exhausted = match &quota {
            Some(quota) => self.exhausted(project, quota).await?.is_some(),
            None => false,
        };
        let size_limited = self.reached_size_limit(&route).await?.is_some();
        self.sessions
            .terminate_other_size_limit(project, endpoint, size_limited);
        let now = self.clock.now();
        if !is_exhausted && !Compute::of(&route.endpoint, &self.sessions, now).is_idle() {
            return Ok(());
        }
        // While a connection is being established, the compute is in use. It is checked again after
        // the interval.
        let branch = &route.endpoint.branch_id;
        let Some(_branch_lock) = self.sessions.try_lock_branch_exclusive(branch) else {
            return Ok(());
        };
        let project_id: ProjectId = project.parse().map_err(StoreError::corrupt)?;
        let mut tx = self.store.begin().await?;
        let now = self.clock.now();
        let mut row = Store::lock_endpoint(&mut tx, &project_id, &id).await?;
        let compute = Compute::of(&row, &self.sessions, now);
        let is_suspended = if row.suspended_at_us.is_none() && compute.is_idle() {
            let is_idle = |last_use| Compute::with_last_use(&row, last_use, now).is_idle();
            if !self.sessions.terminate_if_idle(&row, now, is_idle) {
                return Ok(());
            }
            // By an advanced clock, the suspend timeout may have ended long ago.
            Store::record_usage(&mut tx, &mut row, compute.suspends_at, now).await?;
            row.suspended_at_us = Some(compute.suspends_at);
            Store::save_endpoint(&mut tx, &row).await?;
            true
        } else if is_exhausted {
            compute::suspend(&mut tx, &mut row, &self.sessions, now).await?
        } else if compute.is_idle() {
            false
        } else {
            return Ok(());
        };
        if is_suspended {
            let plan = [PlannedOperation {
                action: OperationAction::SuspendCompute,
                branch: row.branch_id.parse().map_err(StoreError::corrupt)?,
                endpoint: Some(id),
                duration: from_millis(self.latency.suspend_compute_ms),
            }];
            Store::record_operations(&mut tx, &project_id, now, &plan).await?;
        }
        tx.commit().await?;
        self.sessions.terminate_endpoint(project, endpoint);
        Ok(())
    }
}
