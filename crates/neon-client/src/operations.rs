//! Calls for the operations of a project.

mod wait;

use futures::Stream;

use crate::{
    Call, Error, Neon, Route,
    call::decode,
    ids::{OperationId, ProjectId},
    model::{Operation, OperationEnvelope, OperationPage},
    pages::{items, pages},
};

pub use wait::{OPERATIONS_TIMEOUT, POLL_INTERVAL, WaitError, WaitForOperations};

/// Maximum number of operations per page.
const MAX_OPERATIONS_PER_PAGE: u16 = 1000;

impl Neon {
    /// Returns the calls for the operations of a project.
    pub fn operations(&self, project: &ProjectId) -> Operations {
        Operations::new(self.clone(), project.clone())
    }
}

/// Calls for the operations of a project. See [`Neon::operations`].
#[derive(Debug, Clone)]
pub struct Operations {
    neon: Neon,
    project: ProjectId,
}

impl Operations {
    pub(crate) fn new(neon: Neon, project: ProjectId) -> Self {
        Self { neon, project }
    }

    /// Returns one operation: `GET /projects/{project_id}/operations/{operation_id}`.
    pub fn get(&self, operation: OperationId) -> Call<Operation> {
        let request = self.neon.request(
            Route::GetOperation,
            &[self.project.as_str(), &operation.to_string()],
        );
        Call::new(self.neon.clone(), request, |body| {
            decode::<OperationEnvelope>(body).map(|envelope| envelope.operation)
        })
    }

    /// Lists the operations of the project, newest first: `GET /projects/{project_id}/operations`.
    pub fn list(&self) -> ListOperations {
        ListOperations {
            neon: self.neon.clone(),
            project: self.project.clone(),
            limit: None,
        }
    }

    /// Waits until the given operations have finished, usually those returned by a call that
    /// changes a resource. Polls with `GET /projects/{project_id}/operations/{operation_id}`.
    ///
    /// ```no_run
    /// # async fn example(neon: neon_client::Neon, endpoint: neon_client::ids::EndpointId, project: neon_client::ids::ProjectId) -> Result<(), Box<dyn std::error::Error>> {
    /// let started = neon.endpoints(&project).start(&endpoint).send().await?;
    /// let ids = started.operations.iter().map(|operation| operation.id);
    /// neon.operations(&project).wait(ids).done().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(&self, operations: impl IntoIterator<Item = OperationId>) -> WaitForOperations {
        WaitForOperations::new(self.clone(), operations.into_iter().collect())
    }
}

/// Request for a list of operations. See [`Operations::list`].
#[derive(Debug, Clone)]
#[must_use = "no request is sent until `first_page` is sent or `pages` is polled"]
pub struct ListOperations {
    neon: Neon,
    project: ProjectId,
    limit: Option<u16>,
}

impl ListOperations {
    /// Sets the number of operations per page, from 1 to 1,000.
    pub fn limit(mut self, operations: u16) -> Self {
        self.limit = Some(operations.clamp(1, MAX_OPERATIONS_PER_PAGE));
        self
    }

    /// Returns the newest operations with a single request. This is enough to find running
    /// operations.
    pub fn first_page(self) -> Call<OperationPage> {
        self.page(None)
    }

    /// Returns a stream of pages. Each page is requested when the stream is polled. The list is
    /// complete only if the stream ends without an error.
    pub fn pages(self) -> impl Stream<Item = Result<OperationPage, Error>> + Send {
        pages(move |cursor| self.page(cursor))
    }

    /// Returns a stream of the operations. The list is complete only if the stream ends without an
    /// error.
    pub fn items(self) -> impl Stream<Item = Result<Operation, Error>> + Send {
        items(self.pages(), |page| page.operations)
    }

    fn page(&self, cursor: Option<&str>) -> Call<OperationPage> {
        let mut request = self
            .neon
            .request(Route::ListOperations, &[self.project.as_str()]);
        let limit = self.limit.map(|limit| limit.to_string());
        request.query([("limit", limit.as_deref()), ("cursor", cursor)]);
        Call::new(self.neon.clone(), request, decode)
    }
}
