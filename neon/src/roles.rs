//! Calls about the roles of a branch.

use crate::{
    Call, Neon, Route,
    call::read,
    ids::{BranchId, ProjectId, RoleName},
    model::{ResetPassword, RevealedPassword},
};

/// Calls about the roles of a branch. See [`Neon::roles`].
#[derive(Debug, Clone)]
pub struct Roles {
    neon: Neon,
    project: ProjectId,
    branch: BranchId,
}

impl Roles {
    pub(crate) fn new(neon: Neon, project: ProjectId, branch: BranchId) -> Self {
        Self {
            neon,
            project,
            branch,
        }
    }

    fn parameters<'a>(&'a self, role: &'a RoleName) -> [&'a str; 3] {
        [self.project.as_str(), self.branch.as_str(), role.as_str()]
    }

    /// Gives a role a new password. It is never sent again when its fate is unknown: a late one would undo the password of a newer.
    pub fn reset_password(&self, role: &RoleName) -> Call<ResetPassword> {
        let request = self
            .neon
            .request(Route::ResetRolePassword, &self.parameters(role));
        Call::new(self.neon.clone(), request, read)
    }

    /// A role's password. [`PreconditionFailed`](crate::ErrorKind::PreconditionFailed) where the project does not store passwords.
    pub fn reveal_password(&self, role: &RoleName) -> Call<RevealedPassword> {
        let request = self
            .neon
            .request(Route::RevealRolePassword, &self.parameters(role));
        Call::new(self.neon.clone(), request, read)
    }
}
