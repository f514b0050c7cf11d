//! A project's whole life: made, ready, listed, deleted.
//!
//! ```sh
//! NEON_API_KEY=... cargo run -p dbpertenant-neon --example lifecycle
//! ```
//! `NEON_BASE_URL` leads it elsewhere, for instance to the emulator.

use std::time::{Duration, Instant};

use neon::{Neon, Priority, ids::ProjectId, model::CreateProject};

/// How long the operations of a new project may take.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// The pause between two looks at an operation.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Neon::builder().api_key(std::env::var("NEON_API_KEY")?.into());
    if let Ok(base_url) = std::env::var("NEON_BASE_URL") {
        builder = builder.base_url(base_url.parse()?);
    }
    let neon = builder.build()?;

    let begun = Instant::now();
    let created = neon
        .projects()
        .create(CreateProject::named("lifecycle-example"))
        .send()
        .await?;
    let project = created.project.id;
    let ready = ready(&neon, &project).await;
    if ready.is_ok() {
        let host = created
            .endpoints
            .first()
            .map_or("no endpoint", |endpoint| endpoint.host.as_str());
        report(&format!(
            "{project} is ready after {} ms at {host}",
            begun.elapsed().as_millis()
        ));
    }

    let housekeeping = neon.with_priority(Priority::Housekeeping);
    let listing = housekeeping.projects().list().all().await?;
    report(&format!(
        "the account has {} projects",
        listing.projects.len()
    ));

    // Deleted also when it did not become ready, so that nothing is left behind.
    neon.projects().delete(&project).send().await?;
    report(&format!("{project} is deleted"));
    ready
}

async fn ready(neon: &Neon, project: &ProjectId) -> Result<(), Box<dyn std::error::Error>> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let operations = neon
            .operations(project)
            .list()
            .first_page()
            .send()
            .await?
            .operations;
        match operations
            .iter()
            .find(|operation| !operation.status.is_over())
        {
            None => return Ok(()),
            Some(operation) if Instant::now() > deadline => {
                return Err(format!("{} takes too long", operation.action).into());
            }
            Some(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

#[expect(clippy::print_stdout, reason = "an example that is run by hand")]
fn report(line: &str) {
    println!("{line}");
}
