//! Creates a project, waits until it is ready, lists the account's projects, and deletes the
//! project.
//!
//! ```sh
//! NEON_API_KEY=... cargo run -p neon-client --example lifecycle
//! ```
//! Set `NEON_BASE_URL` to use another API, for example the emulator.

use std::{error::Error, time::Instant};

use neon_client::{Neon, Priority, model::CreateProject};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = Neon::builder().api_key(std::env::var("NEON_API_KEY")?.into());
    if let Ok(base_url) = std::env::var("NEON_BASE_URL") {
        builder = builder.base_url(base_url.parse()?);
    }
    let neon = builder.build()?;

    let started = Instant::now();
    let request = CreateProject::named("lifecycle-example");
    let created = neon.projects().create(request).send().await?;
    let project = created.project.id;
    // The response contains the operations that are still running. The project accepts connections
    // when they have finished.
    let operation_ids = created.operations.iter().map(|operation| operation.id);
    let ready = neon.operations(&project).wait(operation_ids).done().await;
    if ready.is_ok() {
        let host = created.endpoints.first().map(|endpoint| &*endpoint.host);
        let ms = started.elapsed().as_millis();
        report(&format!(
            "{project} is ready after {ms} ms at {}",
            host.unwrap_or("no host")
        ));
    }

    // Background calls are sent only when no interactive call of the account is waiting.
    let background = neon.with_priority(Priority::Background);
    let listing = background.projects().list().all().await?;
    report(&format!(
        "the account has {} projects",
        listing.projects.len()
    ));

    // Delete the project even if it did not become ready.
    neon.projects().delete(&project).send().await?;
    report(&format!("deleted {project}"));
    ready?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example that is run by hand")]
fn report(line: &str) {
    println!("{line}");
}
