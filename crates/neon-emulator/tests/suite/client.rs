//! Tests the `neon-client` crate against the emulator. Both were written from Neon's OpenAPI
//! document, so they must understand each other.

use neon_client::model::{
    ComputeUnits, CreateProject, OperationStatus, UpdateEndpoint, UpdateProject,
};
use neon_client::{ErrorKind, Neon};
use neon_emulator::Limits;
use neon_emulator::faults::Fault;
use secrecy::ExposeSecret;

use crate::common::{TestEmulator, connect, password, uri};

pub(crate) fn client(world: &TestEmulator) -> Neon {
    client_with(world, world.emulator.api_key())
}

fn client_with(world: &TestEmulator, api_key: &str) -> Neon {
    Neon::builder()
        .api_key(api_key.to_owned().into())
        .base_url(world.emulator.api_url().parse().expect("a URL"))
        .build()
        .expect("a client")
}

fn arm(world: &TestEmulator, spec: &str) {
    world
        .emulator
        .faults()
        .add(spec.parse::<Fault>().expect("a fault"));
}

#[tokio::test]
async fn the_client_supports_the_whole_life_of_a_project() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let created = neon
        .projects()
        .create(CreateProject::named("one"))
        .send()
        .await
        .expect("creates");
    let project = &created.project.id;
    for operation in &created.operations {
        let now = neon
            .operations(project)
            .get(operation.id)
            .send()
            .await
            .expect("an operation");
        assert_eq!(now.status, OperationStatus::Finished);
    }
    let (role, database) = (&created.roles[0].name, &created.databases[0].name);
    let connection = neon
        .projects()
        .connection_uri(project, database, role)
        .send()
        .await
        .expect("a URI");
    assert_eq!(connection.uri.expose_secret(), uri(&created));
    connect(connection.uri.expose_secret())
        .await
        .expect("connects");

    let changes = UpdateProject {
        name: Some("two".into()),
        ..UpdateProject::default()
    };
    let updated = neon
        .projects()
        .update(project, changes)
        .send()
        .await
        .expect("updates");
    assert_eq!(updated.project.name, "two");
    let endpoint = &created.endpoints[0].id;
    let changes = UpdateEndpoint {
        autoscaling_limit_max_cu: Some(ComputeUnits::from_quarters(4)),
        ..UpdateEndpoint::default()
    };
    neon.endpoints(project)
        .update(endpoint, changes)
        .send()
        .await
        .expect("updates");
    let endpoints = neon
        .endpoints(project)
        .list()
        .send()
        .await
        .expect("computes");
    assert_eq!(
        endpoints[0].autoscaling_limit_max_cu,
        ComputeUnits::from_quarters(4)
    );
}

#[tokio::test]
async fn the_client_reveals_and_resets_passwords_and_deletes_and_recovers_projects() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    let (project, role) = (&created.project.id, &created.roles[0].name);
    let roles = neon.roles(project, &created.branch.id);
    let revealed = roles.reveal_password(role).send().await.expect("reveals");
    assert_eq!(revealed.password.expose_secret(), password(&created));
    let reset = roles.reset_password(role).send().await.expect("resets");
    assert_ne!(
        reset.role.password.expect("a password").expose_secret(),
        password(&created)
    );

    neon.projects()
        .delete(project)
        .send()
        .await
        .expect("deletes");
    let error = neon.projects().get(project).send().await.expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        neon.projects()
            .list()
            .all()
            .await
            .expect("a list")
            .projects
            .is_empty()
    );
    let deleted = neon
        .projects()
        .list()
        .recoverable()
        .all()
        .await
        .expect("a list");
    assert!(deleted.projects.contains_key(project));
    neon.projects()
        .recover(project)
        .send()
        .await
        .expect("recovers");
    assert!(
        neon.projects()
            .list()
            .all()
            .await
            .expect("a list")
            .projects
            .contains_key(project)
    );
}

#[tokio::test]
async fn the_client_classifies_every_fault() {
    let world = TestEmulator::start_with(|emulator| {
        emulator.limits(Limits {
            projects: Some(2),
            ..Limits::default()
        })
    })
    .await;
    let neon = client(&world);
    let create = || neon.projects().create(CreateProject::named("one")).send();

    // These errors are safe to retry, and the client does so.
    arm(&world, "createProject:423:times=1");
    arm(&world, "createProject:503:times=1");
    let created = create().await.expect("creates after retries");
    assert_eq!(world.emulator.calls()["createProject"], 3);

    arm(&world, "createProject:answer-lost:times=1");
    assert_eq!(
        create().await.expect_err("no answer").kind(),
        ErrorKind::Ambiguous
    );
    assert_eq!(
        world.project_names().await.len(),
        2,
        "the project was created, and the client does not retry"
    );
    assert_eq!(
        create().await.expect_err("too many").kind(),
        ErrorKind::LimitExceeded
    );

    arm(&world, "createProject:524-html:times=1");
    assert_eq!(
        create().await.expect_err("a page").kind(),
        ErrorKind::Ambiguous
    );

    arm(
        &world,
        &format!(
            "listProjects:unavailable:project={}:times=1",
            created.project.id
        ),
    );
    let listing = neon.projects().list().all().await.expect("a list");
    assert!(
        listing
            .unavailable_project_ids
            .contains(&created.project.id),
        "unavailable, not deleted"
    );
    assert_eq!(listing.projects.len(), 1);

    let stranger = client_with(&world, "wrong");
    assert_eq!(
        stranger
            .projects()
            .list()
            .all()
            .await
            .expect_err("rejected")
            .kind(),
        ErrorKind::Auth
    );
}
