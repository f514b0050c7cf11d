//! Calls about a project's computes.

use crate::{
    Call, Neon, Route,
    call::{read, read_unless_gone},
    ids::{EndpointId, ProjectId},
    model::{
        CreateEndpoint, Endpoint, EndpointEnvelope, EndpointList, EndpointOperations,
        UpdateEndpoint,
    },
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

    fn parameters<'a>(&'a self, endpoint: &'a EndpointId) -> [&'a str; 2] {
        [self.project.as_str(), endpoint.as_str()]
    }

    /// Makes one: `POST /projects/{project_id}/endpoints`. It is never sent again when its fate is unknown.
    pub fn create(&self, endpoint: CreateEndpoint) -> Call<EndpointOperations> {
        let body = EndpointEnvelope { endpoint };
        let request =
            self.neon
                .request_with(Route::CreateEndpoint, &[self.project.as_str()], &body);
        Call::new(self.neon.clone(), request, read)
    }

    /// All of them: `GET /projects/{project_id}/endpoints`.
    pub fn list(&self) -> Call<Vec<Endpoint>> {
        let request = self
            .neon
            .request(Route::ListEndpoints, &[self.project.as_str()]);
        Call::new(self.neon.clone(), request, |body| {
            read::<EndpointList>(body).map(|list| list.endpoints)
        })
    }

    /// One of them: `GET /projects/{project_id}/endpoints/{endpoint_id}`.
    pub fn get(&self, endpoint: &EndpointId) -> Call<Endpoint> {
        let request = self
            .neon
            .request(Route::GetEndpoint, &self.parameters(endpoint));
        Call::new(self.neon.clone(), request, |body| {
            read::<EndpointEnvelope>(body).map(|envelope| envelope.endpoint)
        })
    }

    /// Changes one: `PATCH /projects/{project_id}/endpoints/{endpoint_id}`. Values are set, not added: the call is idempotent. It
    /// wakes an idle compute for a while.
    pub fn update(
        &self,
        endpoint: &EndpointId,
        changes: UpdateEndpoint,
    ) -> Call<EndpointOperations> {
        let request = self.neon.request_with(
            Route::UpdateEndpoint,
            &self.parameters(endpoint),
            &EndpointEnvelope { endpoint: changes },
        );
        Call::new(self.neon.clone(), request, read)
    }

    /// Removes one: `DELETE /projects/{project_id}/endpoints/{endpoint_id}`. `None` says that it was gone already.
    pub fn delete(&self, endpoint: &EndpointId) -> Call<Option<EndpointOperations>> {
        let request = self
            .neon
            .request(Route::DeleteEndpoint, &self.parameters(endpoint));
        Call::new(self.neon.clone(), request, read_unless_gone)
    }

    /// Starts one: `POST /projects/{project_id}/endpoints/{endpoint_id}/start`. It takes connections when the operations are over.
    pub fn start(&self, endpoint: &EndpointId) -> Call<EndpointOperations> {
        self.act(Route::StartEndpoint, endpoint)
    }

    /// Suspends one: `POST /projects/{project_id}/endpoints/{endpoint_id}/suspend`. Its connections end; the next one wakes it.
    pub fn suspend(&self, endpoint: &EndpointId) -> Call<EndpointOperations> {
        self.act(Route::SuspendEndpoint, endpoint)
    }

    /// Suspends one and starts it again: `POST /projects/{project_id}/endpoints/{endpoint_id}/restart`.
    pub fn restart(&self, endpoint: &EndpointId) -> Call<EndpointOperations> {
        self.act(Route::RestartEndpoint, endpoint)
    }

    fn act(&self, route: Route, endpoint: &EndpointId) -> Call<EndpointOperations> {
        let request = self.neon.request(route, &self.parameters(endpoint));
        Call::new(self.neon.clone(), request, read)
    }
}
