//! The service itself against what this workspace says of it: `make test-live` with a `NEON_API_KEY` (and a `NEON_ORG_ID`, where the key
//! needs one; `NEON_BASE_URL` leads it to another server). One project is made, looked at, connected to and removed, also after a
//! failure, and the shapes of the answers are compared with the emulator's. Without the key it says that it was skipped.
//!
//! That this way can be gone at all is tested without a key, with a second emulator in the place of the service.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "what fails here fails the test, and who runs it is told what it did"
)]

mod life;
mod shape;

use neon_emulator::Emulator;
use neon_emulator::document::{DOCUMENT_VARIABLE, Document};

use crate::life::{NAME_PREFIX, Service};
use crate::shape::Difference;

const KEY_VARIABLE: &str = "NEON_API_KEY";
/// The organization that the key's projects belong to, where it is needed.
const ORG_VARIABLE: &str = "NEON_ORG_ID";
const BASE_URL_VARIABLE: &str = "NEON_BASE_URL";
/// Fewer fields than this are no comparison.
const FIELDS_MIN: usize = 200;
/// Parts of names of fields that appear only with time or use, or that an account without an organization has not.
const COME_AND_GO: [&str; 4] = ["_at", "org_", "maintenance", "last_active"];

/// An emulator with a state of its own, held against the API's document where there is one.
async fn emulator() -> Emulator {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Emulator::builder();
    if let Some(path) = std::env::var_os(DOCUMENT_VARIABLE) {
        builder = builder.document(Document::read(path.as_ref()).expect("the API's document"));
    }
    builder.start().await.expect("the emulator starts")
}

fn service_of(emulator: &Emulator) -> Service {
    Service::new(&emulator.api_url(), emulator.api_key(), None).expect("a client")
}

/// Tells all that differs, and gives what must not.
fn judge(difference: &Difference) -> Vec<&String> {
    for field in &difference.missing {
        eprintln!("only the service has {field}");
    }
    for field in &difference.invented {
        eprintln!("only the emulator has {field}");
    }
    for field in &difference.of_other_kinds {
        eprintln!("differs: {field}");
    }
    let comes_and_goes = |field: &&String| COME_AND_GO.iter().any(|part| field.contains(part));
    let invented = difference
        .invented
        .iter()
        .filter(|field| !comes_and_goes(field));
    invented.chain(&difference.of_other_kinds).collect()
}

#[tokio::test]
async fn the_service_answers_with_every_field_that_the_emulator_has() {
    let Ok(key) = std::env::var(KEY_VARIABLE) else {
        eprintln!("skipped: {KEY_VARIABLE} is not set");
        return;
    };
    let emulator = emulator().await;
    let org_id = std::env::var(ORG_VARIABLE).ok();
    let org_id = org_id.map(|id| id.parse().expect("an organization's id"));
    let url = std::env::var(BASE_URL_VARIABLE).unwrap_or_else(|_| neon_client::BASE_URL.to_owned());
    let service = Service::new(&url, &key, org_id).expect("a client");

    let ours = service_of(&emulator)
        .shape()
        .await
        .expect("a project's life at the emulator");
    let theirs = service
        .shape()
        .await
        .expect("a project's life at the service");
    eprintln!(
        "{url}: {} fields, the emulator: {}",
        theirs.len(),
        ours.len()
    );
    assert!(
        theirs.len() >= FIELDS_MIN,
        "only {} fields were compared: the key may not read what it made",
        theirs.len()
    );
    let difference = Difference::between(&theirs, &ours);
    assert_eq!(
        judge(&difference),
        Vec::<&String>::new(),
        "the emulator is not like the service"
    );
    emulator.shutdown().await;
}

#[tokio::test]
async fn with_an_emulator_in_the_place_of_the_service_nothing_differs_and_nothing_is_left() {
    let (ours, theirs) = (emulator().await, emulator().await);
    let here = service_of(&ours)
        .shape()
        .await
        .expect("a project's life here");
    let there = service_of(&theirs)
        .shape()
        .await
        .expect("a project's life there");
    assert!(
        there.len() >= FIELDS_MIN,
        "only {} fields were compared",
        there.len()
    );
    assert_eq!(Difference::between(&there, &here), Difference::default());
    for emulator in [ours, theirs] {
        assert_removed(&emulator, 1).await;
        emulator.shutdown().await;
    }
}

#[tokio::test]
async fn the_project_is_removed_also_after_a_failure() {
    let emulator = emulator().await;
    let faults = [
        "createProject:answer-lost:times=1",
        "createProject:operation-errors:times=1",
        "getProjectOperation:403:times=1",
        "listProjectBranches:404:times=1",
        "data-plane:refuse-connections:times=1",
        "listProjects:503",
    ];
    for (made, fault) in faults.iter().enumerate() {
        emulator.faults().clear();
        emulator.faults().add(fault.parse().expect("a fault"));
        let service = service_of(&emulator);
        let error = service.shape().await.expect_err(fault);
        eprintln!("{fault}: {error:#}");
        assert_removed(&emulator, made + 1).await;
    }
    emulator.shutdown().await;
}

/// So many projects were made at this emulator, all of them deleted, and every call as the API's document has it.
async fn assert_removed(emulator: &Emulator, made: usize) {
    assert_eq!(emulator.violations(), Vec::<String>::new());
    let projects = emulator.projects().await.expect("projects");
    assert_eq!(projects.len(), made);
    for project in projects {
        assert!(project.name.starts_with(NAME_PREFIX), "{}", project.name);
        assert!(project.deleted_at.is_some(), "{} is left", project.id);
    }
}
