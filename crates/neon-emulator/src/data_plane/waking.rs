//! Starts idle computes for connections.

use neon_client::ids::EndpointId;
use neon_client::model::OperationAction;

use super::DataPlane;
use super::refusal::Refusal;
use crate::clock::{Micros, from_millis};
use crate::compute::{self, Compute, EndpointStateNow};
use crate::store::{Planned, Route, Store, StoreError};

impl DataPlane {
    /// The route of an endpoint whose compute is active. Starts the compute if it is idle, and
    /// waits while it is starting.
    pub(super) async fn awake(&self, endpoint: &EndpointId) -> Result<Route, Refusal> {
        let limit: Micros = self
            .clock
            .now()
            .saturating_add(from_millis(self.limits.compute_wait_ms));
        loop {
            let route = self.find(endpoint).await?;
            let now = self.clock.now();
            match Compute::of(&route.endpoint, &self.sessions, now).state {
                EndpointStateNow::Active => return Ok(route),
                EndpointStateNow::Idle => self.wake(&route).await?,
                EndpointStateNow::Starting if now >= limit => {
                    return Err(Refusal::unavailable(format!(
                        "the compute \"{endpoint}\" did not start in time"
                    )));
                }
                EndpointStateNow::Starting => {
                    self.clock
                        .sleep_until(route.endpoint.ready_at_us.min(limit))
                        .await;
                }
            }
        }
    }

    /// Starts an idle compute. A concurrent connection finds it starting.
    async fn wake(&self, route: &Route) -> Result<(), StoreError> {
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
            let takes = from_millis(self.latency.cold_start_ms);
            compute::wake(&mut tx, &mut row, &self.sessions, takes, now).await?;
            let plan = [Planned {
                action: OperationAction::StartCompute,
                branch: row.branch_id.parse().map_err(StoreError::corrupt)?,
                endpoint: Some(endpoint),
                takes,
            }];
            Store::note(&mut tx, &project, now, &plan).await?;
            self.sessions.count_cold_start();
        }
        tx.commit().await.map_err(StoreError::from)
    }
}
