//! A project's whole life: made, ready, listed, deleted.
//!
//! ```sh
//! NEON_API_KEY=... cargo run -p neon-client --example lifecycle
//! ```
//! `NEON_BASE_URL` leads it elsewhere, for instance to the emulator.

use std::{error::Error, time::Instant};

use neon_client::{Neon, Priority, model::CreateProject};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = Neon::builder().api_key(std::env::var("NEON_API_KEY")?.into());
    if let Ok(base_url) = std::env::var("NEON_BASE_URL") {
        builder = builder.base_url(base_url.parse()?);
    }
    let neon = builder.build()?;

    let begun = Instant::now();
    let wish = CreateProject::named("lifecycle-example");
    let created = neon.projects().create(wish).send().await?;
    let project = created.project.id;
    // The answer names the work that is still to be done; the project can be connected to when it is over.
    let work = created.operations.iter().map(|operation| operation.id);
    let ready = neon.operations(&project).wait(work).done().await;
    if ready.is_ok() {
        let host = created.endpoints.first().map(|endpoint| &*endpoint.host);
        let ms = begun.elapsed().as_millis();
        report(&format!(
            "{project} is ready after {ms} ms at {}",
            host.unwrap_or("no host")
        ));
    }

    // Nobody waits for a list of everything: it goes when no other call of this account wants to.
    let housekeeping = neon.with_priority(Priority::Housekeeping);
    let listing = housekeeping.projects().list().all().await?;
    report(&format!(
        "the account has {} projects",
        listing.projects.len()
    ));

    // Deleted also when it did not become ready, so that nothing is left behind.
    neon.projects().delete(&project).send().await?;
    report(&format!("{project} is deleted"));
    ready?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example that is run by hand")]
fn report(line: &str) {
    println!("{line}");
}
