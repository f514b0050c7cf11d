//! Calls about a project's operations.

mod wait;

use futures::Stream;

use crate::{
    Call, Error, Neon, Route,
    call::read,
    ids::{OperationId, ProjectId},
    model::{Operation, OperationEnvelope, OperationPage},
    pages::{items, pages},
};

pub use wait::{LOOK_INTERVAL, OPERATIONS_DEADLINE, WaitError, WaitForOperations};

/// The most operations on one page.
const OPERATIONS_PER_PAGE_MAX: u16 = 1000;

/// Calls about a project's operations. See [`Neon::operations`].
#[derive(Debug, Clone)]
pub struct Operations {
    neon: Neon,
    project: ProjectId,
}

impl Operations {
    pub(crate) fn new(neon: Neon, project: ProjectId) -> Self {
        Self { neon, project }
    }

    /// One operation: `GET /projects/{project_id}/operations/{operation_id}`.
    pub fn get(&self, operation: OperationId) -> Call<Operation> {
        let request = self.neon.request(
            Route::GetOperation,
            &[self.project.as_str(), &operation.to_string()],
        );
        Call::new(self.neon.clone(), request, |body| {
            read::<OperationEnvelope>(body).map(|envelope| envelope.operation)
        })
    }

    /// The operations of the project, newest first: `GET /projects/{project_id}/operations`.
    pub fn list(&self) -> ListOperations {
        ListOperations {
            neon: self.neon.clone(),
            project: self.project.clone(),
            limit: None,
        }
    }

    /// Waits until these are over, as those that the answer to a change names. Each look is a
    /// `GET /projects/{project_id}/operations/{operation_id}`.
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

/// A list of operations to be read. See [`Operations::list`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `first_page` is sent or `pages` is polled"]
pub struct ListOperations {
    neon: Neon,
    project: ProjectId,
    limit: Option<u16>,
}

impl ListOperations {
    /// How many operations a page shall have, at most 1,000.
    pub fn limit(mut self, operations: u16) -> Self {
        self.limit = Some(operations.clamp(1, OPERATIONS_PER_PAGE_MAX));
        self
    }

    /// The newest operations: one call, enough to see what is under way.
    pub fn first_page(self) -> Call<OperationPage> {
        self.page(None)
    }

    /// The pages, each read when it is asked for. The list is complete only if the stream ends without an error.
    pub fn pages(self) -> impl Stream<Item = Result<OperationPage, Error>> + Send {
        pages(move |cursor| self.page(cursor))
    }

    /// The operations, one by one. The list is complete only if the stream ends without an error.
    pub fn items(self) -> impl Stream<Item = Result<Operation, Error>> + Send {
        items(self.pages(), |page| page.operations)
    }

    fn page(&self, cursor: Option<&str>) -> Call<OperationPage> {
        let mut request = self
            .neon
            .request(Route::ListOperations, &[self.project.as_str()]);
        let limit = self.limit.map(|limit| limit.to_string());
        request.query([("limit", limit.as_deref()), ("cursor", cursor)]);
        Call::new(self.neon.clone(), request, read)
    }
}
