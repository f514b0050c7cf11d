//! Compares the real Neon service with the emulator: `make test-live` with a `NEON_API_KEY` (and a
//! `NEON_ORG_ID` if the key requires one; `NEON_BASE_URL` selects another server). The test creates
//! a project, reads it, connects to it and deletes it, even after a failure, and compares the
//! shapes of the responses with the emulator's. Without a key the test reports that it was skipped.
//!
//! It also writes `target/live/report.md`: what this project assumes about Neon, each as expected or
//! not, with the responses and without secrets. That takes one or two more projects, one after the
//! other, and about 20 minutes, because it observes a compute that falls asleep.
//!
//! The procedure itself is tested without a key, with a second emulator in place of the service.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a failed expectation fails the test, and the output shows what was compared"
)]

mod activity;
mod changes;
mod connections;
mod facts;
mod life;
mod refusals;
mod shape;

use std::time::Duration;

use neon_emulator::openapi::{DOCUMENT_VARIABLE, Document};
use neon_emulator::{Emulator, Limits, Plan};

use crate::life::{NAME_PREFIX, Service};
use crate::shape::Difference;

const KEY_VARIABLE: &str = "NEON_API_KEY";
/// The organization of the key's projects, if the key requires one.
const ORG_VARIABLE: &str = "NEON_ORG_ID";
const BASE_URL_VARIABLE: &str = "NEON_BASE_URL";
/// The minimum number of fields for a meaningful comparison.
const MIN_FIELDS: usize = 200;
/// Parts of field names that appear only with time or use, or only in accounts with an
/// organization.
const OPTIONAL_FIELD_PARTS: [&str; 4] = ["_at", "org_", "maintenance", "last_active"];

/// An emulator with its own state, checked against the OpenAPI document if there is one.
async fn emulator() -> Emulator {
    emulator_on(Plan::Scale).await
}

async fn emulator_on(plan: Plan) -> Emulator {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let limits = Limits {
        plan,
        ..Limits::default()
    };
    let mut builder = Emulator::builder().limits(limits);
    if let Some(path) = std::env::var_os(DOCUMENT_VARIABLE) {
        builder = builder.document(Document::read(path.as_ref()).expect("the API's document"));
    }
    builder.start().await.expect("the emulator starts")
}

fn service_of(emulator: &Emulator) -> Service {
    Service::new(&emulator.api_url(), emulator.api_key(), None).expect("a client")
}

/// Prints all differences, and returns those that fail the test.
fn report(difference: &Difference) -> Vec<&String> {
    for field in &difference.missing {
        eprintln!("only the service has {field}");
    }
    for field in &difference.invented {
        eprintln!("only the emulator has {field}");
    }
    for field in &difference.different_types {
        eprintln!("differs: {field}");
    }
    let comes_and_goes =
        |field: &&String| OPTIONAL_FIELD_PARTS.iter().any(|part| field.contains(part));
    let invented = difference
        .invented
        .iter()
        .filter(|field| !comes_and_goes(field));
    invented.chain(&difference.different_types).collect()
}

#[tokio::test]
async fn the_service_returns_every_field_that_the_emulator_returns() {
    let Ok(key) = std::env::var(KEY_VARIABLE) else {
        eprintln!("skipped: {KEY_VARIABLE} is not set");
        return;
    };
    let emulator = emulator().await;
    let org_id = std::env::var(ORG_VARIABLE).ok();
    let org_id = org_id.map(|id| id.parse().expect("an organization's id"));
    let url = std::env::var(BASE_URL_VARIABLE).unwrap_or_else(|_| neon_client::BASE_URL.to_owned());
    let service = Service::new(&url, &key, org_id).expect("a client");

    let pause = async |duration: Duration| {
        tokio::time::sleep(duration).await;
        anyhow::Ok(())
    };
    let facts = service.facts(&pause).await;
    let facts = facts.expect("facts about the service");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/live");
    std::fs::create_dir_all(folder).expect("a folder for the report");
    let path = format!("{folder}/report.md");
    std::fs::write(&path, facts::report(&facts)).expect("writes the report");
    eprintln!("wrote {path}");

    let emulator_shape = service_of(&emulator)
        .shape()
        .await
        .expect("a project's life at the emulator");
    let service_shape = service
        .shape()
        .await
        .expect("a project's life at the service");
    eprintln!(
        "{url}: {} fields, the emulator: {}",
        service_shape.len(),
        emulator_shape.len()
    );
    assert!(
        service_shape.len() >= MIN_FIELDS,
        "only {} fields were compared; the key may not have the permission to read",
        service_shape.len()
    );
    let difference = Difference::between(&service_shape, &emulator_shape);
    assert_eq!(
        report(&difference),
        Vec::<&String>::new(),
        "the emulator differs from the service"
    );
    emulator.shutdown().await;
}

#[tokio::test]
async fn the_facts_are_as_expected_at_the_emulator_and_the_report_has_no_secrets() {
    // Free refuses the suspend timeout, so that no project is created with it.
    for (plan, projects) in [(Plan::Free, 1), (Plan::Scale, 2)] {
        let emulator = emulator_on(plan).await;
        let pause = async |duration: Duration| {
            emulator.advance_clock(duration).await?;
            anyhow::Ok(())
        };
        let facts = service_of(&emulator).facts(&pause).await.expect("facts");
        let report = facts::report(&facts);
        assert!(
            facts.iter().all(|fact| fact.as_expected),
            "{plan}: {report}"
        );
        for password in emulator.issued_passwords().await.expect("passwords") {
            assert!(!report.contains(&password), "a password is in the report");
        }
        assert!(!report.contains(emulator.api_key()));
        assert_removed(&emulator, projects).await;
        emulator.shutdown().await;
    }
}

#[tokio::test]
async fn two_emulators_do_not_differ_and_no_project_is_left() {
    let (emulator_shape, service_shape) = (emulator().await, emulator().await);
    let first_shape = service_of(&emulator_shape)
        .shape()
        .await
        .expect("a project's life here");
    let second_shape = service_of(&service_shape)
        .shape()
        .await
        .expect("a project's life there");
    assert!(
        second_shape.len() >= MIN_FIELDS,
        "only {} fields were compared",
        second_shape.len()
    );
    assert_eq!(
        Difference::between(&second_shape, &first_shape),
        Difference::default()
    );
    for emulator in [emulator_shape, service_shape] {
        assert_removed(&emulator, 1).await;
        emulator.shutdown().await;
    }
}

#[tokio::test]
async fn the_project_is_deleted_even_after_a_failure() {
    let emulator = emulator().await;
    let faults = [
        "createProject:answer-lost:times=1",
        "createProject:operation-errors:times=1",
        "getProjectOperation:403:times=1",
        "listProjectBranches:404:times=1",
        "data-plane:refuse-connections:times=1",
        "listProjects:503",
    ];
    for (count, fault) in faults.iter().enumerate() {
        emulator.faults().clear();
        emulator.faults().add(fault.parse().expect("a fault"));
        let service = service_of(&emulator);
        let error = service.shape().await.expect_err(fault);
        eprintln!("{fault}: {error:#}");
        assert_removed(&emulator, count + 1).await;
    }
    emulator.shutdown().await;
}

/// Asserts that this many projects were created, all of them were deleted, and no call violated the
/// OpenAPI document.
async fn assert_removed(emulator: &Emulator, count: usize) {
    assert_eq!(emulator.violations(), Vec::<String>::new());
    let projects = emulator.projects().await.expect("projects");
    assert_eq!(projects.len(), count);
    for project in projects {
        assert!(project.name.starts_with(NAME_PREFIX), "{}", project.name);
        assert!(
            project.deleted_at.is_some(),
            "{} was not deleted",
            project.id
        );
    }
}
