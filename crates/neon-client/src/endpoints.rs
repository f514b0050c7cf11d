//! Calls for the compute endpoints of a project.

use crate::{
    Call, Neon, Route,
    call::{decode, decode_optional},
    ids::{EndpointId, ProjectId},
    model::{
        CreateEndpoint, Endpoint, EndpointEnvelope, EndpointList, EndpointOperations,
        UpdateEndpoint,
    },
};

impl Neon {
    /// Returns the calls for the compute endpoints of a project.
    pub fn endpoints(&self, project: &ProjectId) -> Endpoints {
        Endpoints::new(self.clone(), project.clone())
    }
}

/// Calls for the compute endpoints of a project. See [`Neon::endpoints`].
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

    /// Creates a compute: `POST /projects/{project_id}/endpoints`. Not retried if the outcome of
    /// the request is unknown.
    pub fn create(&self, endpoint: CreateEndpoint) -> Call<EndpointOperations> {
        let body = EndpointEnvelope { endpoint };
        let request =
            self.neon
                .request_with(Route::CreateEndpoint, &[self.project.as_str()], &body);
        Call::new(self.neon.clone(), request, decode)
    }

    /// Lists the computes: `GET /projects/{project_id}/endpoints`.
    pub fn list(&self) -> Call<Vec<Endpoint>> {
        let request = self
            .neon
            .request(Route::ListEndpoints, &[self.project.as_str()]);
        Call::new(self.neon.clone(), request, |body| {
            decode::<EndpointList>(body).map(|list| list.endpoints)
        })
    }

    /// Returns one compute: `GET /projects/{project_id}/endpoints/{endpoint_id}`.
    pub fn get(&self, endpoint: &EndpointId) -> Call<Endpoint> {
        let request = self
            .neon
            .request(Route::GetEndpoint, &self.parameters(endpoint));
        Call::new(self.neon.clone(), request, |body| {
            decode::<EndpointEnvelope>(body).map(|envelope| envelope.endpoint)
        })
    }

    /// Updates a compute: `PATCH /projects/{project_id}/endpoints/{endpoint_id}`. The call is
    /// idempotent, because it sets values. It wakes a suspended compute for some time.
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
        Call::new(self.neon.clone(), request, decode)
    }

    /// Deletes a compute: `DELETE /projects/{project_id}/endpoints/{endpoint_id}`. Returns `None`
    /// if the compute did not exist.
    pub fn delete(&self, endpoint: &EndpointId) -> Call<Option<EndpointOperations>> {
        let request = self
            .neon
            .request(Route::DeleteEndpoint, &self.parameters(endpoint));
        Call::new(self.neon.clone(), request, decode_optional)
    }

    /// Starts a compute: `POST /projects/{project_id}/endpoints/{endpoint_id}/start`. It accepts
    /// connections when the returned operations have finished.
    pub fn start(&self, endpoint: &EndpointId) -> Call<EndpointOperations> {
        self.act(Route::StartEndpoint, endpoint)
    }

    /// Suspends a compute: `POST /projects/{project_id}/endpoints/{endpoint_id}/suspend`. Its
    /// connections are closed; the next connection wakes it.
    pub fn suspend(&self, endpoint: &EndpointId) -> Call<EndpointOperations> {
        self.act(Route::SuspendEndpoint, endpoint)
    }

    /// Restarts a compute: `POST /projects/{project_id}/endpoints/{endpoint_id}/restart`.
    pub fn restart(&self, endpoint: &EndpointId) -> Call<EndpointOperations> {
        self.act(Route::RestartEndpoint, endpoint)
    }

    fn act(&self, route: Route, endpoint: &EndpointId) -> Call<EndpointOperations> {
        let request = self.neon.request(route, &self.parameters(endpoint));
        Call::new(self.neon.clone(), request, decode)
    }
}
