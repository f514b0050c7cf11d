//! A branch as for a change that is being reviewed: made with a compute, told where to connect, removed. It belongs to a project that
//! this example makes and deletes too.
//!
//! ```sh
//! NEON_API_KEY=... cargo run -p neon-client --example preview
//! ```
//! `NEON_BASE_URL` leads it elsewhere, for instance to the emulator.

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
    let wish = CreateProject::named("preview-example");
    let created = neon.projects().create(wish).send().await?;
    let project = created.project.id;
    let result = preview(&neon, &project, &created.operations).await;
    // Deleted also after a failure, so that nothing is left behind.
    neon.projects().delete(&project).send().await?;
    result
}

async fn preview(
    neon: &Neon,
    project: &ProjectId,
    under_way: &[Operation],
) -> Result<(), Box<dyn Error>> {
    finished(neon, project, under_way).await?;
    let branches = neon.branches(project);
    let wish = CreateBranch::named("preview").with_compute();
    let made = match branches.create(wish).send().await {
        Ok(made) => made,
        Err(error) if error.kind() == ErrorKind::LimitExceeded => {
            return Err(format!("the plan allows no more branches: {error}").into());
        }
        Err(error) => return Err(error.into()),
    };
    finished(neon, project, &made.operations).await?;
    for endpoint in &made.endpoints {
        report(&format!("{} is at {}", made.branch.name, endpoint.host));
    }

    let mut all = std::pin::pin!(branches.list().items());
    while let Some(branch) = all.try_next().await? {
        report(&format!("{} {}", branch.id, branch.name));
    }

    branches.delete(&made.branch.id).send().await?;
    report(&format!("{} is removed", made.branch.name));
    Ok(())
}

/// While an operation runs, its project is locked for other changes.
async fn finished(
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
