//! A wish that changed, and what of it Neon is told.

use neon_client::model::ComputeUnits;

use super::fixtures::*;
use crate::tenant::desired::ComputeSettings;
use crate::tenant::plan::{Intent, Step, plan};

#[test]
fn a_changed_wish_is_sent_to_neon() {
    each(
        resting,
        &[
            (
                "quota",
                |desired, _| desired.quota.written_data_bytes = Some(1 << 30),
                update(false),
            ),
            (
                "allow list",
                |desired, _| desired.allowed_ips = Some(Vec::new()),
                update(false),
            ),
            (
                "history",
                |desired, _| desired.history_retention_seconds = Some(0),
                update(false),
            ),
            (
                "history left to Neon",
                |desired, _| desired.history_retention_seconds = None,
                update(false),
            ),
            (
                "compute",
                |desired, _| desired.compute.max = Some(ComputeUnits::from_quarters(8)),
                update(true),
            ),
            (
                "sleep",
                |desired, _| desired.compute.suspend_timeout_seconds = Some(-1),
                update(true),
            ),
            (
                "compute, but which it is is not known",
                |desired, observed| {
                    desired.compute.max = Some(ComputeUnits::from_quarters(8));
                    own_status(observed).endpoint_id = None;
                },
                Step::Inspect(id(OWN)),
            ),
            (
                "quota, and which compute it is does not matter",
                |desired, observed| {
                    desired.quota.written_data_bytes = Some(1 << 30);
                    own_status(observed).endpoint_id = None;
                },
                update(false),
            ),
            (
                "before the account was ever listed",
                |desired, observed| {
                    desired.quota.written_data_bytes = Some(1 << 30);
                    observed.listing = crate::tenant::observed::ObservedListing::default();
                },
                update(false),
            ),
            (
                "its name in Neon",
                |_, observed| observed.project_name = "Acme dbpt-test/1".to_owned(),
                update(false),
            ),
            (
                "its name in Neon, but it was there before the Tenant",
                |_, observed| {
                    observed.project_name = "Acme dbpt-test/1".to_owned();
                    own_status(observed).adopted = true;
                },
                Step::UpToDate,
            ),
            (
                "what Neon need not be told: the deletion policy",
                |desired, _| {
                    desired.deletion_policy = crds::DeletionPolicy::Retain;
                },
                Step::UpToDate,
            ),
        ],
    );
}

#[test]
fn a_project_of_unknown_settings_gets_the_compute_that_is_wished_too() {
    let mut observed = resting();
    observed.status.effective = None;
    assert_eq!(live(&observed), update(true));
    let mut modest = desired();
    modest.compute = ComputeSettings::default();
    assert_eq!(
        plan(&Intent::Provision(Ok(modest)), &observed),
        update(false),
        "no size is wished"
    );
}
