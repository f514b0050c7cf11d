//! Neon from the outside, as a person with the console has it: looking at projects, and changing them behind the
//! controller's back.

use anyhow::{Context as _, Result};
use neon::Neon;
use neon::ids::{EndpointId, ProjectId};
use neon::model::{CreateProject, Endpoint, Project};
use neon_emulator::{Emulator, ProjectSummary};

use crate::Cluster;

/// A client of the account.
pub fn client(emulator: &Emulator) -> Result<Neon> {
    let client = Neon::builder().api_key(emulator.api_key().to_owned().into()).base_url(emulator.api_url().parse()?);
    Ok(client.build()?)
}

impl Cluster {
    /// A client of the account, past any proxy.
    pub fn neon(&self) -> Result<Neon> {
        client(self.emulator())
    }

    /// A project by its id, deleted or not; `None` if it was purged or never was.
    pub async fn summary(&self, id: &ProjectId) -> Result<Option<ProjectSummary>> {
        Ok(self.emulator().projects().await?.into_iter().find(|project| project.id == *id))
    }

    /// Whether a project exists and is not deleted.
    pub async fn lives(&self, id: &ProjectId) -> Result<bool> {
        Ok(self.summary(id).await?.is_some_and(|project| project.deleted_at.is_none()))
    }

    /// How many connections to a project's databases were ever opened.
    pub async fn connections_opened(&self, id: &ProjectId) -> Result<u64> {
        Ok(self.summary(id).await?.with_context(|| format!("there is no project {id}"))?.connections_opened)
    }

    /// A project's details.
    pub async fn project(&self, id: &ProjectId) -> Result<Project> {
        Ok(self.neon()?.projects().get(id).send().await?)
    }

    /// A project's one compute.
    pub async fn endpoint(&self, id: &ProjectId) -> Result<Endpoint> {
        let mut endpoints = self.neon()?.endpoints(id).list().send().await?;
        endpoints.pop().with_context(|| format!("project {id} has no compute"))
    }

    /// The id of a project's one compute.
    pub async fn endpoint_id(&self, id: &ProjectId) -> Result<EndpointId> {
        Ok(self.endpoint(id).await?.id)
    }

    /// A project that a person made, without any Tenant; its operations are over.
    pub async fn foreign_project(&self, project: CreateProject) -> Result<ProjectId> {
        Ok(self.neon()?.projects().create(project).send().await?.project.id)
    }
}
