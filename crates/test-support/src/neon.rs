//! The Neon account as a user of the console sees it: tests inspect projects, and change them
//! without the controller.

use anyhow::{Context as _, Result};
use neon_client::Neon;
use neon_client::ids::ProjectId;
use neon_client::model::{ComputeUnits, CreateProject, Endpoint, Project};
use neon_emulator::{Emulator, ProjectSummary};
use secrecy::ExposeSecret as _;

/// The account of an emulator.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a>(pub &'a Emulator);

impl Account<'_> {
    /// A client that bypasses any proxy.
    pub fn client(&self) -> Result<Neon> {
        let client = Neon::builder().api_key(self.0.api_key().to_owned().into());
        Ok(client.base_url(self.0.api_url().parse()?).build()?)
    }

    /// A project, deleted or not; `None` if it was purged or never existed.
    pub async fn summary(&self, id: &ProjectId) -> Result<Option<ProjectSummary>> {
        Ok(self
            .0
            .projects()
            .await?
            .into_iter()
            .find(|project| project.id == *id))
    }

    /// Whether a project exists and is not deleted.
    pub async fn project_exists(&self, id: &ProjectId) -> Result<bool> {
        Ok(self
            .summary(id)
            .await?
            .is_some_and(|project| project.deleted_at.is_none()))
    }

    /// The ids of all projects that are not deleted.
    pub async fn existing_projects(&self) -> Result<Vec<ProjectId>> {
        let all = self.0.projects().await?.into_iter();
        Ok(all
            .filter(|project| project.deleted_at.is_none())
            .map(|project| project.id)
            .collect())
    }

    /// The number of connections that were opened to a project's databases so far.
    pub async fn connections_opened(&self, id: &ProjectId) -> Result<u64> {
        Ok(self
            .summary(id)
            .await?
            .with_context(|| format!("project {id} does not exist"))?
            .connections_opened)
    }

    /// The number of calls of an API operation so far.
    pub fn calls(&self, operation: &str) -> u64 {
        self.0.calls().get(operation).copied().unwrap_or_default()
    }

    pub async fn project(&self, id: &ProjectId) -> Result<Project> {
        Ok(self.client()?.projects().get(id).send().await?)
    }

    /// The only compute of a project.
    pub async fn endpoint(&self, id: &ProjectId) -> Result<Endpoint> {
        let mut endpoints = self.client()?.endpoints(id).list().send().await?;
        endpoints
            .pop()
            .with_context(|| format!("project {id} has no compute"))
    }

    /// Whether the compute of a project scales up to exactly `max_cu` compute units.
    pub async fn has_max_cu(&self, id: &ProjectId, max_cu: f64) -> Result<bool> {
        Ok(self.endpoint(id).await?.autoscaling_limit_max_cu == ComputeUnits::new(max_cu)?)
    }

    /// Creates a project without a Tenant.
    pub async fn create(&self, project: CreateProject) -> Result<ProjectId> {
        Ok(self
            .client()?
            .projects()
            .create(project)
            .send()
            .await?
            .project
            .id)
    }

    pub async fn delete(&self, id: &ProjectId) -> Result<()> {
        self.client()?.projects().delete(id).send().await?;
        Ok(())
    }

    /// Resets the password of a database's owner without the controller. Returns the new password once
    /// it is valid.
    pub async fn reset_password(&self, id: &ProjectId, owner: &str) -> Result<String> {
        let branch = self.endpoint(id).await?.branch_id;
        let client = self.client()?;
        let response = client
            .roles(id, &branch)
            .reset_password(&owner.parse()?)
            .send()
            .await?;
        let operations = response.operations.iter().map(|operation| operation.id);
        client.operations(id).wait(operations).done().await?;
        let password = response
            .role
            .password
            .context("the response has no password")?;
        Ok(password.expose_secret().to_owned())
    }
}
