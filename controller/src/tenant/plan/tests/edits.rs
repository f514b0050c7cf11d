//! A wish that changed, and what of it Neon is told.

use neon_client::model::ComputeUnits;

use super::fixtures::*;
use crate::tenant::desired::ComputeWish;
use crate::tenant::plan::{Goal, Step, plan};

#[test]
fn a_changed_wish_is_sent_to_neon() {
    each(
        resting,
        &[
            (
                "quota",
                |wish, _| wish.quota.written_data_bytes = Some(1 << 30),
                update(false),
            ),
            (
                "allow list",
                |wish, _| wish.allowed_ips = Some(Vec::new()),
                update(false),
            ),
            (
                "history",
                |wish, _| wish.history_retention_seconds = Some(0),
                update(false),
            ),
            (
                "history left to Neon",
                |wish, _| wish.history_retention_seconds = None,
                update(false),
            ),
            (
                "compute",
                |wish, _| wish.compute.max = Some(ComputeUnits::from_quarters(8)),
                update(true),
            ),
            (
                "sleep",
                |wish, _| wish.compute.suspend_timeout_seconds = Some(-1),
                update(true),
            ),
            (
                "compute, but which it is is not known",
                |wish, facts| {
                    wish.compute.max = Some(ComputeUnits::from_quarters(8));
                    own_status(facts).endpoint_id = None;
                },
                Step::Inspect(id(OWN)),
            ),
            (
                "quota, and which compute it is does not matter",
                |wish, facts| {
                    wish.quota.written_data_bytes = Some(1 << 30);
                    own_status(facts).endpoint_id = None;
                },
                update(false),
            ),
            (
                "before the account was ever listed",
                |wish, facts| {
                    wish.quota.written_data_bytes = Some(1 << 30);
                    facts.listing = crate::tenant::observed::ListingFacts::default();
                },
                update(false),
            ),
            (
                "its name in Neon",
                |_, facts| facts.project_name = "Acme dbpt-test/1".to_owned(),
                update(false),
            ),
            (
                "its name in Neon, but it was there before the Tenant",
                |_, facts| {
                    facts.project_name = "Acme dbpt-test/1".to_owned();
                    own_status(facts).adopted = true;
                },
                Step::Rest,
            ),
            (
                "what Neon need not be told: the deletion policy",
                |wish, _| {
                    wish.deletion_policy = crds::DeletionPolicy::Retain;
                },
                Step::Rest,
            ),
        ],
    );
}

#[test]
fn a_project_of_unknown_settings_gets_the_compute_that_is_wished_too() {
    let mut facts = resting();
    facts.status.effective = None;
    assert_eq!(live(&facts), update(true));
    let mut modest = wish();
    modest.compute = ComputeWish::default();
    assert_eq!(
        plan(&Goal::Live(Ok(modest)), &facts),
        update(false),
        "no size is wished"
    );
}
