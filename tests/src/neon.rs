//! Neon from the outside, as a person with the console has it: looking at projects, and changing them behind the
//! controller's back.

use anyhow::{Context as _, Result};
use neon_client::Neon;
use neon_client::ids::ProjectId;
use neon_client::model::{ComputeUnits, CreateProject, Endpoint, Project};
use neon_emulator::{Emulator, ProjectSummary};

/// The account that an emulator answers for.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a>(pub &'a Emulator);

impl Account<'_> {
    /// A client of the API, past any proxy.
    pub fn client(&self) -> Result<Neon> {
        let client = Neon::builder().api_key(self.0.api_key().to_owned().into());
        Ok(client.base_url(self.0.api_url().parse()?).build()?)
    }

    /// A project by its id, deleted or not; `None` if it was purged or never was.
    pub async fn summary(&self, id: &ProjectId) -> Result<Option<ProjectSummary>> {
        Ok(self
            .0
            .projects()
            .await?
            .into_iter()
            .find(|project| project.id == *id))
    }

    /// Whether a project exists and is not deleted.
    pub async fn lives(&self, id: &ProjectId) -> Result<bool> {
        Ok(self
            .summary(id)
            .await?
            .is_some_and(|project| project.deleted_at.is_none()))
    }

    /// Ids of all projects that are not deleted.
    pub async fn living(&self) -> Result<Vec<ProjectId>> {
        let all = self.0.projects().await?.into_iter();
        Ok(all
            .filter(|project| project.deleted_at.is_none())
            .map(|project| project.id)
            .collect())
    }

    /// How many connections to a project's databases were ever opened.
    pub async fn connections_opened(&self, id: &ProjectId) -> Result<u64> {
        Ok(self
            .summary(id)
            .await?
            .with_context(|| format!("there is no project {id}"))?
            .connections_opened)
    }

    /// How often a call of the API was made so far, by the operation's name.
    pub fn calls(&self, operation: &str) -> u64 {
        self.0.calls().get(operation).copied().unwrap_or_default()
    }

    /// A project's details.
    pub async fn project(&self, id: &ProjectId) -> Result<Project> {
        Ok(self.client()?.projects().get(id).send().await?)
    }

    /// A project's one compute.
    pub async fn endpoint(&self, id: &ProjectId) -> Result<Endpoint> {
        let mut endpoints = self.client()?.endpoints(id).list().send().await?;
        endpoints
            .pop()
            .with_context(|| format!("project {id} has no compute"))
    }

    /// Whether a project's one compute grows up to this size, in CU.
    pub async fn grows_to(&self, id: &ProjectId, max_cu: f64) -> Result<bool> {
        Ok(self.endpoint(id).await?.autoscaling_limit_max_cu == ComputeUnits::new(max_cu)?)
    }

    /// Makes a project as a person does, without any Tenant.
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

    /// Deletes a project as a person does.
    pub async fn delete(&self, id: &ProjectId) -> Result<()> {
        self.client()?.projects().delete(id).send().await?;
        Ok(())
    }

    /// Resets the password of the owner of a project's database, behind the controller's back. Gives the new one.
    pub async fn reset_password(&self, id: &ProjectId, owner: &str) -> Result<String> {
        use secrecy::ExposeSecret as _;
        let branch = self.endpoint(id).await?.branch_id;
        let answer = self
            .client()?
            .roles(id, &branch)
            .reset_password(&owner.parse()?)
            .send()
            .await?;
        let password = answer.role.password.context("the answer has no password")?;
        Ok(password.expose_secret().to_owned())
    }
}
