//! Edits of the spec, and which of them are sent to Neon.

use neon_client::model::ComputeUnits;

use super::fixtures::*;
use crate::accounts::ObservedListing;
use crate::tenant::desired::ComputeSettings;
use crate::tenant::intent::Intent;
use crate::tenant::plan::{Step, plan};

#[test]
fn a_changed_setting_is_sent_to_neon() {
    check_cases(
        up_to_date,
        &[
            (
                "quota",
                |desired, _| desired.quota.written_data_bytes = Some(1 << 30),
                update(false),
            ),
            (
                "allowed addresses",
                |desired, _| desired.allowed_ips = Some(Vec::new()),
                update(false),
            ),
            (
                "history",
                |desired, _| desired.history_retention_seconds = Some(0),
                update(false),
            ),
            (
                "history reset to Neon's default",
                |desired, _| desired.history_retention_seconds = None,
                update(false),
            ),
            (
                "compute",
                |desired, _| desired.compute.max = Some(ComputeUnits::from_quarters(8)),
                update(true),
            ),
            (
                "suspend timeout",
                |desired, _| desired.compute.suspend_timeout_seconds = Some(-1),
                update(true),
            ),
            (
                "compute settings, if the compute is unknown",
                |desired, observed| {
                    desired.compute.max = Some(ComputeUnits::from_quarters(8));
                    recorded_project(observed).endpoint_id = None;
                },
                Step::Inspect(id(OWN)),
            ),
            (
                "quota, if the compute is unknown",
                |desired, observed| {
                    desired.quota.written_data_bytes = Some(1 << 30);
                    recorded_project(observed).endpoint_id = None;
                },
                update(false),
            ),
            (
                "quota, before the first listing",
                |desired, observed| {
                    desired.quota.written_data_bytes = Some(1 << 30);
                    observed.listing = ObservedListing::default();
                },
                update(false),
            ),
            (
                "project name",
                |_, observed| observed.project_name = "Acme dbpt-test/1".to_owned(),
                update(false),
            ),
            (
                "project name of an adopted project",
                |_, observed| {
                    observed.project_name = "Acme dbpt-test/1".to_owned();
                    recorded_project(observed).adopted = true;
                    observed.adoptable = [id(OWN)].into();
                },
                Step::UpToDate,
            ),
            (
                "the deletion policy, which Neon does not store",
                |desired, _| {
                    desired.deletion_policy = crds::DeletionPolicy::Retain;
                },
                Step::UpToDate,
            ),
        ],
    );
}

#[test]
fn a_project_with_unknown_settings_gets_the_desired_compute_settings() {
    let mut observed = up_to_date();
    observed.status.effective = None;
    assert_eq!(provision(&observed), update(true));
    let mut without_size = desired();
    without_size.compute = ComputeSettings::default();
    assert_eq!(
        plan(&Intent::Provision(Ok(without_size)), &observed),
        update(false),
        "the spec sets no size"
    );
}
