//! Suspends computes that have open connections: after the suspend timeout without activity, or
//! when the project's quota is exhausted.

use std::collections::BTreeSet;

use neon_client::ids::{EndpointId, ProjectId};
use neon_client::model::OperationAction;

use super::{DataPlane, admission};
use crate::clock::from_millis;
use crate::compute::{self, Compute};
use crate::store::{Planned, Store, StoreError};

impl DataPlane {
    /// Checks every compute that has open connections.
    pub(crate) async fn look_after(&self) -> Result<(), StoreError> {
        let connected = self.sessions.all();
        for one in &connected {
            let bytes = one.activity.take_transferred();
            self.store
                .add_transfer(&one.project, &one.branch, bytes, self.clock.now())
                .await?;
        }
        let computes: BTreeSet<_> = connected
            .into_iter()
            .map(|one| (one.project, one.endpoint))
            .collect();
        for (project, endpoint) in computes {
            self.look_after_one(&project, &endpoint).await?;
        }
        Ok(())
    }

    async fn look_after_one(&self, project: &str, endpoint: &str) -> Result<(), StoreError> {
        let id: EndpointId = endpoint.parse().map_err(StoreError::corrupt)?;
        let Some(route) = self.store.route(&id).await? else {
            self.sessions.cut_endpoint(project, endpoint);
            return Ok(());
        };
        let quota = route
            .project_settings
            .quota
            .filter(admission::limits_anything);
        let used_up = match &quota {
            Some(quota) => self.exhausted(project, quota).await?.is_some(),
            None => false,
        };
        let now = self.clock.now();
        let asleep = Compute::of(&route.endpoint, &self.sessions, now).is_idle();
        if !used_up && !asleep {
            return Ok(());
        }
        let project_id: ProjectId = project.parse().map_err(StoreError::corrupt)?;
        let mut tx = self.store.begin().await?;
        let mut row = Store::lock_endpoint(&mut tx, &project_id, &id).await?;
        let compute = Compute::of(&row, &self.sessions, now);
        let is_new = if row.suspended_at_us.is_none() && compute.is_idle() {
            Store::settle(&mut tx, &mut row, compute.sleeps_at, now).await?;
            row.suspended_at_us = Some(compute.sleeps_at);
            Store::save_endpoint(&mut tx, &row).await?;
            true
        } else if compute.is_idle() || used_up {
            compute::suspend(&mut tx, &mut row, &self.sessions, now).await?
        } else {
            return Ok(());
        };
        if is_new {
            let plan = [Planned {
                action: OperationAction::SuspendCompute,
                branch: row.branch_id.parse().map_err(StoreError::corrupt)?,
                endpoint: Some(id),
                takes: from_millis(self.latency.suspend_compute_ms),
            }];
            Store::note(&mut tx, &project_id, now, &plan).await?;
        }
        tx.commit().await?;
        self.sessions.cut_endpoint(project, endpoint);
        Ok(())
    }
}
