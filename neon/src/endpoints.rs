//! Calls about a project's computes.

use crate::{
    Call, Neon, Route,
    call::read,
    ids::{EndpointId, ProjectId},
    model::{Endpoint, EndpointEnvelope, EndpointList, UpdateEndpoint, UpdatedEndpoint},
};

/// Calls about a project's computes. See [`Neon::endpoints`].
#[derive(Debug, Clone)]
pub struct Endpoints {
    neon: Neon,
    project: ProjectId,
}

impl Endpoints {
    pub(crate) fn new(neon: Neon, project: ProjectId) -> Self {
        Self { neon, project }
    }

    /// All of them.
    pub fn list(&self) -> Call<Vec<Endpoint>> {
        let request = self
            .neon
            .request(Route::ListEndpoints, &[self.project.as_str()]);
        Call::new(self.neon.clone(), request, |body| {
            read::<EndpointList>(body).map(|list| list.endpoints)
        })
    }

    /// One of them.
    pub fn get(&self, endpoint: &EndpointId) -> Call<Endpoint> {
        let request = self.neon.request(
            Route::GetEndpoint,
            &[self.project.as_str(), endpoint.as_str()],
        );
        Call::new(self.neon.clone(), request, |body| {
            read::<EndpointEnvelope>(body).map(|envelope| envelope.endpoint)
        })
    }

    /// Changes one. Values are set, not added: the call is idempotent. It wakes an idle compute for a while.
    pub fn update(&self, endpoint: &EndpointId, changes: UpdateEndpoint) -> Call<UpdatedEndpoint> {
        let parameters = [self.project.as_str(), endpoint.as_str()];
        let request = self.neon.request_with(
            Route::UpdateEndpoint,
            &parameters,
            &EndpointEnvelope { endpoint: changes },
        );
        Call::new(self.neon.clone(), request, read)
    }
}
