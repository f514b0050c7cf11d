//! Whom an API key belongs to, and which projects may be used with it.

use crds::Reason;
use neon_client::model::Project;

use crate::issue::{Component, Issue};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Id of the user or the organization.
    pub(super) id: String,
    pub(super) is_organization: bool,
}

impl Owner {
    pub(super) fn user(id: String) -> Self {
        Self {
            id,
            is_organization: false,
        }
    }

    pub(super) fn organization(id: String) -> Self {
        Self {
            id,
            is_organization: true,
        }
    }

    /// Why a project that Neon returned must not be used: it belongs to another organization. The
    /// projects of a user may belong to any of the user's organizations.
    pub(super) fn misplaced(&self, project: &Project) -> Option<Issue> {
        let organization = project.org_id.as_ref()?;
        (self.is_organization && organization.as_str() != self.id).then(|| {
            Issue::new(
                Component::Project,
                Reason::AccountMismatch,
                format!(
                    "project {} belongs to organization {organization}, but the class's projects belong to {}: transfer \
                     the project to {1} in Neon",
                    project.id, self.id
                ),
            )
        })
    }
}
