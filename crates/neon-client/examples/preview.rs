//! Creates a branch with a compute, as for a preview environment, prints its host and deletes it.
//! The branch belongs to a project that the example also creates and deletes.
//!
//! ```sh
//! NEON_API_KEY=... cargo run -p neon-client --example preview
//! ```
//! Set `NEON_BASE_URL` to use another API, for example the emulator.

use std::error::Error;

use futures::TryStreamExt;
use neon_client::{
    ErrorKind, Neon,
    ids::ProjectId,
    model::{CreateBranch, CreateProject, Operation},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = Neon::builder().api_key(std::env::var("NEON_API_KEY")?.into());
    if let Ok(base_url) = std::env::var("NEON_BASE_URL") {
        builder = builder.base_url(base_url.parse()?);
    }
    let neon = builder.build()?;
    let request = CreateProject::named("preview-example");
    let created = neon.projects().create(request).send().await?;
    let project = created.project.id;
    let result = preview(&neon, &project, &created.operations).await;
    // Delete the project even after a failure.
    neon.projects().delete(&project).send().await?;
    result
}

async fn preview(
    neon: &Neon,
    project: &ProjectId,
    operations: &[Operation],
) -> Result<(), Box<dyn Error>> {
    wait_for(neon, project, operations).await?;
    let branches = neon.branches(project);
    let request = CreateBranch::named("preview").with_compute();
    let created = match branches.create(request).send().await {
        Ok(created) => created,
        Err(error) if error.kind() == ErrorKind::LimitExceeded => {
            return Err(format!("the plan allows no more branches: {error}").into());
        }
        Err(error) => return Err(error.into()),
    };
    wait_for(neon, project, &created.operations).await?;
    for endpoint in &created.endpoints {
        report(&format!("{} is at {}", created.branch.name, endpoint.host));
    }

    let mut all = std::pin::pin!(branches.list().items());
    while let Some(branch) = all.try_next().await? {
        report(&format!("{} {}", branch.id, branch.name));
    }

    branches.delete(&created.branch.id).send().await?;
    report(&format!("deleted {}", created.branch.name));
    Ok(())
}

/// Waits for operations. The project is locked for other changes while an operation is running.
async fn wait_for(
    neon: &Neon,
    project: &ProjectId,
    operations: &[Operation],
) -> Result<(), neon_client::WaitError> {
    let ids = operations.iter().map(|operation| operation.id);
    neon.operations(project).wait(ids).done().await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example that is run by hand")]
fn report(line: &str) {
    println!("{line}");
}
