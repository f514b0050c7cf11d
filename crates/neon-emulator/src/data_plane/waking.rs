//! Starts idle computes for connections.

use neon_client::ids::EndpointId;
use neon_client::model::OperationAction;
use tokio::sync::OwnedRwLockReadGuard;

use super::DataPlane;
use super::error_response::ErrorResponse;
use super::rejection::Rejection;
use crate::clock::{Micros, from_millis};
use crate::compute::{self, Compute, ComputeState};
use crate::store::{EndpointRoute, PlannedOperation, Store, StoreError};

impl DataPlane {
    /// Locks the branch of an endpoint whose compute is active. Starts the compute if it is idle,
    /// and waits while it is starting.
    ///
    /// The state is checked under the lock, because the compute may have been suspended, or moved
    /// to another branch, while this function waited for the lock.
    pub(super) async fn enter_branch(
        &self,
        mut route: EndpointRoute,
    ) -> Result<(EndpointRoute, OwnedRwLockReadGuard<()>), Rejection> {
        let endpoint: EndpointId = route.endpoint.id.parse().map_err(StoreError::corrupt)?;
        let deadline: Micros = self
            .clock
            .now()
            .saturating_add(from_millis(self.limits.compute_wait_ms));
        loop {
            let branch = route.endpoint.branch_id;
            let branch_lock = self.sessions.lock_branch_shared(&branch).await;
            route = self.route(&endpoint).await?;
            let now = self.clock.now();
            let state = Compute::of(&route.endpoint, &self.sessions, now).state;
            if state == ComputeState::Active && route.endpoint.branch_id == branch {
                return Ok((route, branch_lock));
            }
            drop(branch_lock);
            match state {
                ComputeState::Active => {}
                ComputeState::Idle => self.wake(&route).await?,
                ComputeState::Starting if now >= deadline => {
                    return Err(ErrorResponse::unavailable(format!(
                        "the compute \"{endpoint}\" did not start in time"
                    ))
                    .into());
                }
                ComputeState::Starting => {
                    self.clock
                        .sleep_until(route.endpoint.ready_at_us.min(deadline))
                        .await;
                }
            }
        }
    }

    /// Starts an idle compute. A concurrent connection finds it starting.
    async fn wake(&self, route: &EndpointRoute) -> Result<(), StoreError> {
        let project = route
            .endpoint
            .project_id
            .parse()
            .map_err(StoreError::corrupt)?;
        let endpoint: EndpointId = route.endpoint.id.parse().map_err(StoreError::corrupt)?;
        let mut tx = self.store.begin().await?;
        let now = self.clock.now();
        let mut row = Store::lock_endpoint(&mut tx, &project, &endpoint).await?;
        if Compute::of(&row, &self.sessions, now).is_idle() {
            let duration = from_millis(self.latency.cold_start_ms);
            compute::wake(&mut tx, &mut row, &self.sessions, duration, now).await?;
            let plan = [PlannedOperation {
                action: OperationAction::StartCompute,
                branch: row.branch_id.parse().map_err(StoreError::corrupt)?,
                endpoint: Some(endpoint),
                duration,
            }];
            Store::record_operations(&mut tx, &project, now, &plan).await?;
            self.sessions.record_cold_start();
        }
        tx.commit().await.map_err(StoreError::from)
    }
}
