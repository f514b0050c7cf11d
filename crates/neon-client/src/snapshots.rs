//! Calls for the snapshots of a project. Neon offers them as a beta.

use crate::{
    Call, Neon, Route,
    call::decode,
    ids::{BranchId, ProjectId, SnapshotId},
    model::{
        CreateSnapshot, CreatedSnapshot, RestoreSnapshot, RestoredSnapshot, Snapshot, SnapshotList,
    },
};

impl Neon {
    /// Returns the calls for the snapshots of a project.
    pub fn snapshots(&self, project: &ProjectId) -> Snapshots {
        Snapshots::new(self.clone(), project.clone())
    }
}

/// Calls for the snapshots of a project. See [`Neon::snapshots`].
#[derive(Debug, Clone)]
pub struct Snapshots {
    neon: Neon,
    project: ProjectId,
}

impl Snapshots {
    pub(crate) fn new(neon: Neon, project: ProjectId) -> Self {
        Self { neon, project }
    }

    /// Creates a snapshot of a root branch:
    /// `POST /projects/{project_id}/branches/{branch_id}/snapshot`. Names are not unique. Not retried
    /// if the outcome of the request is unknown.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "every call takes its request by value"
    )]
    pub fn create(&self, branch: &BranchId, snapshot: CreateSnapshot) -> Call<CreatedSnapshot> {
        let parameters = [self.project.as_str(), branch.as_str()];
        let mut request = self.neon.request(Route::CreateSnapshot, &parameters);
        let expires_at = snapshot.expires_at.map(|at| at.to_string());
        request.query([
            ("name", snapshot.name.as_deref()),
            ("expires_at", expires_at.as_deref()),
        ]);
        Call::new(self.neon.clone(), request, decode)
    }

    /// Lists the snapshots: `GET /projects/{project_id}/snapshots`.
    pub fn list(&self) -> Call<Vec<Snapshot>> {
        let request = self
            .neon
            .request(Route::ListSnapshots, &[self.project.as_str()]);
        Call::new(self.neon.clone(), request, |body| {
            decode::<SnapshotList>(body).map(|list| list.snapshots)
        })
    }

    /// Restores a snapshot to a new branch:
    /// `POST /projects/{project_id}/snapshots/{snapshot_id}/restore`. The new branch replaces the
    /// original one at once if the request says so, and otherwise with
    /// [`Branches::finalize_restore`](crate::Branches::finalize_restore). Not retried if the outcome
    /// of the request is unknown.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "every call takes its request by value"
    )]
    pub fn restore(
        &self,
        snapshot: &SnapshotId,
        restore: RestoreSnapshot,
    ) -> Call<RestoredSnapshot> {
        let parameters = [self.project.as_str(), snapshot.as_str()];
        let request = self
            .neon
            .request_with(Route::RestoreSnapshot, &parameters, &restore);
        Call::new(self.neon.clone(), request, decode)
    }
}
