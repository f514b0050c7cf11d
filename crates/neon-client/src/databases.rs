//! Calls about the databases of a branch.

use crate::{
    Call, Neon, Route,
    call::{read, read_unless_gone},
    ids::{BranchId, DatabaseName, ProjectId},
    model::{
        CreateDatabase, Database, DatabaseEnvelope, DatabaseList, DatabaseOperations,
        UpdateDatabase,
    },
};

/// Calls about the databases of a branch. See [`Neon::databases`].
#[derive(Debug, Clone)]
pub struct Databases {
    neon: Neon,
    project: ProjectId,
    branch: BranchId,
}

impl Databases {
    pub(crate) fn new(neon: Neon, project: ProjectId, branch: BranchId) -> Self {
        Self {
            neon,
            project,
            branch,
        }
    }

    fn parameters<'a>(&'a self, database: &'a DatabaseName) -> [&'a str; 3] {
        [
            self.project.as_str(),
            self.branch.as_str(),
            database.as_str(),
        ]
    }

    /// Makes one: `POST /projects/{project_id}/branches/{branch_id}/databases`. It is never sent again when its fate is unknown.
    pub fn create(&self, database: CreateDatabase) -> Call<DatabaseOperations> {
        let parameters = [self.project.as_str(), self.branch.as_str()];
        let body = DatabaseEnvelope { database };
        let request = self
            .neon
            .request_with(Route::CreateDatabase, &parameters, &body);
        Call::new(self.neon.clone(), request, read)
    }

    /// All of them: `GET /projects/{project_id}/branches/{branch_id}/databases`.
    pub fn list(&self) -> Call<Vec<Database>> {
        let parameters = [self.project.as_str(), self.branch.as_str()];
        let request = self.neon.request(Route::ListDatabases, &parameters);
        Call::new(self.neon.clone(), request, |body| {
            read::<DatabaseList>(body).map(|list| list.databases)
        })
    }

    /// One of them: `GET /projects/{project_id}/branches/{branch_id}/databases/{database_name}`.
    pub fn get(&self, database: &DatabaseName) -> Call<Database> {
        let request = self
            .neon
            .request(Route::GetDatabase, &self.parameters(database));
        Call::new(self.neon.clone(), request, |body| {
            read::<DatabaseEnvelope>(body).map(|envelope| envelope.database)
        })
    }

    /// Changes one: `PATCH /projects/{project_id}/branches/{branch_id}/databases/{database_name}`. A change of its name that is sent
    /// again, because the first answer was lost, ends as [`NotFound`](crate::ErrorKind::NotFound) with more than one
    /// [request](crate::Error::requests).
    pub fn update(
        &self,
        database: &DatabaseName,
        changes: UpdateDatabase,
    ) -> Call<DatabaseOperations> {
        let body = DatabaseEnvelope { database: changes };
        let request =
            self.neon
                .request_with(Route::UpdateDatabase, &self.parameters(database), &body);
        Call::new(self.neon.clone(), request, read)
    }

    /// Removes one with all that is in it: `DELETE /projects/{project_id}/branches/{branch_id}/databases/{database_name}`. `None` says
    /// that it was gone already.
    pub fn delete(&self, database: &DatabaseName) -> Call<Option<DatabaseOperations>> {
        let request = self
            .neon
            .request(Route::DeleteDatabase, &self.parameters(database));
        Call::new(self.neon.clone(), request, read_unless_gone)
    }
}
