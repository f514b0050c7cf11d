//! Why a listing of an account cannot prove that a project does not exist.

use crds::Reason;
use neon_client::ids::ProjectId;

use crate::error::ReconcileError;
use crate::issue::{Component, Issue};

#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    #[error(transparent)]
    Neon(#[from] neon_client::Error),
    /// Neon returned only the ids of some projects, and they could not be read by id either.
    #[error(
        "Neon currently cannot read {count} of the account's projects, such as {example}; one of them may belong \
         to a Tenant without a recorded project"
    )]
    Incomplete { count: usize, example: ProjectId },
    /// A listed project belongs to a different organization from the API key.
    #[error("{}", .0.message)]
    Misplaced(Issue),
    #[error("the API key changed during a call")]
    KeyChanged,
}

impl From<ListingError> for ReconcileError {
    fn from(error: ListingError) -> Self {
        let component = Component::Project;
        match error {
            ListingError::Neon(error) => {
                Self::neon(component, "list the account's projects", error)
            }
            ListingError::Incomplete { .. } => {
                Self::transient(component, Reason::ProjectUnavailable, error.to_string())
            }
            ListingError::Misplaced(issue) => issue.into(),
            ListingError::KeyChanged => {
                Self::transient(component, Reason::AccountUnreachable, error.to_string())
            }
        }
    }
}
