//! Deleted projects that a Tenant names, as a Tenant does that was restored from a backup.

use std::time::Duration;

use controller::identity::{ProjectMark, TenantKey, TenantUid};
use crds::{Reason, annotations};
use kube::ResourceExt as _;
use neon_client::ids::ProjectId;
use tokio::time::advance;

use crate::cluster::{NAMESPACE, TENANT};
use crate::events::{Edit, Event};
use crate::simulate;
use crate::simulation::Simulation;
use crate::world::{installation, uid_text};

/// More calls than the controller makes until it has recovered a project.
const MAX_CALLS: u8 = 40;

/// Adds a deleted project of a former Tenant with this key, and lets the Tenant name it.
fn name_deleted_project(simulation: &Simulation, key: TenantKey) -> ProjectId {
    let mut state = simulation.world.state();
    state.add_stranger();
    let id = state.projects.keys().next().cloned().expect("a project");
    let mark = ProjectMark {
        installation: installation(),
        tenant: TenantUid::parse(&uid_text(99)).expect("a valid UID"),
        key,
    };
    let project = state.live(&id).expect("the project");
    project.project.name = mark.project_name("former");
    project.deleted = true;
    project.made_for = TenantUid::parse(&uid_text(1));
    state.edit_tenant(|tenant| {
        let annotations = tenant.annotations_mut();
        annotations.insert(annotations::PROJECT_ID.to_owned(), id.to_string());
    });
    id
}

fn is_deleted(simulation: &Simulation, id: &ProjectId) -> bool {
    simulation.world.state().live(id).is_none()
}

#[test]
fn a_deleted_project_of_another_tenant_is_not_recovered() {
    simulate(async {
        let mut simulation = Simulation::new();
        let id = name_deleted_project(&simulation, TenantKey::new(NAMESPACE, "another"));
        simulation.wait_until_stalled(Reason::AdoptionRefused).await;
        assert!(is_deleted(&simulation, &id));
    });
}

#[test]
fn a_project_is_deleted_again_if_its_tenant_is_deleted_during_the_recovery() {
    let mut recovered_before = 0;
    for calls in 0..MAX_CALLS {
        simulate(async {
            let mut simulation = Simulation::new();
            let id = name_deleted_project(&simulation, TenantKey::new(NAMESPACE, TENANT));
            simulation.handle(&Event::Edit(Edit::AdoptExisting)).await;
            for _ in 0..calls {
                simulation.handle(&Event::Calls(1)).await;
                if !is_deleted(&simulation, &id) {
                    recovered_before += 1;
                    return;
                }
            }
            simulation.handle(&Event::Delete).await;
            simulation.converge().await;
            assert!(
                is_deleted(&simulation, &id),
                "left behind by a Tenant that was deleted after {calls} calls"
            );
        });
    }
    assert!(
        recovered_before > 0,
        "the project is recovered at some time"
    );
}

#[test]
fn a_project_that_is_recovered_in_the_second_in_which_its_tenant_is_applied_is_found() {
    simulate(async {
        let mut simulation = Simulation::new();
        for event in [Event::Edit(Edit::AdoptExisting), Event::Delete] {
            simulation.converge().await;
            simulation.handle(&event).await;
        }
        simulation.converge().await;
        let since = simulation.world.state().now().subsec_nanosecond();
        let until_next_second = 1_000_000_000 - u64::from(since.unsigned_abs());
        advance(Duration::from_nanos(until_next_second)).await;
        for event in [Event::ListingBegins, Event::ListingEnds] {
            simulation.handle(&event).await;
        }
        for project in simulation.world.state().projects.values_mut() {
            project.deleted = false;
            // The Tenant that is applied next takes it back.
            project.made_for = TenantUid::parse(&uid_text(2));
        }
        simulation.handle(&Event::Apply).await;
        simulation.converge().await;
        assert_eq!(simulation.world.state().listed().len(), 1);
    });
}
