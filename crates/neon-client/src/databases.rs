//! Calls for the databases of a branch.

use crate::{
    Call, Neon, Route,
    call::{decode, decode_optional},
    ids::{BranchId, DatabaseName, ProjectId},
    model::{
        CreateDatabase, Database, DatabaseEnvelope, DatabaseList, DatabaseOperations,
        UpdateDatabase,
    },
};

impl Neon {
    /// Returns the calls for the databases of a branch.
    pub fn databases(&self, project: &ProjectId, branch: &BranchId) -> Databases {
        Databases::new(self.clone(), project.clone(), branch.clone())
    }
}

/// Calls for the databases of a branch. See [`Neon::databases`].
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

    /// Creates a database: `POST /projects/{project_id}/branches/{branch_id}/databases`. Not
    /// retried if the outcome of the request is unknown.
    pub fn create(&self, database: CreateDatabase) -> Call<DatabaseOperations> {
        let parameters = [self.project.as_str(), self.branch.as_str()];
        let body = DatabaseEnvelope { database };
        let request = self
            .neon
            .request_with(Route::CreateDatabase, &parameters, &body);
        Call::new(self.neon.clone(), request, decode)
    }

    /// Lists the databases: `GET /projects/{project_id}/branches/{branch_id}/databases`.
    pub fn list(&self) -> Call<Vec<Database>> {
        let parameters = [self.project.as_str(), self.branch.as_str()];
        let request = self.neon.request(Route::ListDatabases, &parameters);
        Call::new(self.neon.clone(), request, |body| {
            decode::<DatabaseList>(body).map(|list| list.databases)
        })
    }

    /// Returns one database:
    /// `GET /projects/{project_id}/branches/{branch_id}/databases/{database_name}`.
    pub fn get(&self, database: &DatabaseName) -> Call<Database> {
        let request = self
            .neon
            .request(Route::GetDatabase, &self.parameters(database));
        Call::new(self.neon.clone(), request, |body| {
            decode::<DatabaseEnvelope>(body).map(|envelope| envelope.database)
        })
    }

    /// Updates a database:
    /// `PATCH /projects/{project_id}/branches/{branch_id}/databases/{database_name}`. If a rename
    /// is retried because the first response was lost, the call fails with
    /// [`NotFound`](crate::ErrorKind::NotFound) and more than one
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
        Call::new(self.neon.clone(), request, decode)
    }

    /// Deletes a database and its contents:
    /// `DELETE /projects/{project_id}/branches/{branch_id}/databases/{database_name}`. Returns
    /// `None` if the database did not exist.
    pub fn delete(&self, database: &DatabaseName) -> Call<Option<DatabaseOperations>> {
        let request = self
            .neon
            .request(Route::DeleteDatabase, &self.parameters(database));
        Call::new(self.neon.clone(), request, decode_optional)
    }
}
