//! Fixtures: a desired state, an up-to-date Tenant and a new one, and a helper for tables of cases.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    Binding, Connection, CreationIntent, DeletionPolicy, LostCreation, OnExistingProject,
    ProjectStatus, Reason, SchemaStatus, TenantStatus,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use neon_client::ids::{EndpointId, ProjectId};
use neon_client::model::{ComputeUnits, Quota};

use crate::accounts::{ObservedListing, ObservedProject};
use crate::cache::ObservedSecret;
use crate::identity::ProjectMark;
use crate::issue::{Component, Issue};
use crate::schema_assignment::SchemaTarget;
use crate::tenant::desired::{ComputeSettings, DesiredState};
use crate::tenant::drift::compute_defaults;
use crate::tenant::intent::Intent;
use crate::tenant::observed::{Holder, ObservedCompute, ObservedState};
use crate::tenant::plan::{Step, plan};

/// The recorded project of an up-to-date Tenant.
pub(super) const OWN: &str = "calm-sea-1";
/// A second project with the Tenant's mark.
pub(super) const DUPLICATE: &str = "late-sea-2";
/// A third project with the Tenant's mark.
pub(super) const THIRD: &str = "late-sea-3";
pub(super) const COMPUTE: &str = "ep-calm-1";
pub(super) const NAME: &str = "acme/one dbpt-test/00000000-0000-0000-0000-000000000001/acme/one";
pub(super) const SECRET: &str = "one-connection";
/// The version of the Secret that the controller last wrote.
pub(super) const SECRET_VERSION: &str = "7";
/// The time of every reconciliation, in Unix seconds.
pub(super) const NOW: i64 = 10_000;
/// The time of a request whose response was lost, in Unix seconds.
pub(super) const LOST_REQUEST: i64 = 5_000;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(super) fn id(text: &str) -> ProjectId {
    text.parse().unwrap()
}

pub(super) fn compute_id() -> EndpointId {
    COMPUTE.parse().unwrap()
}

pub(super) fn desired() -> DesiredState {
    DesiredState {
        class_name: "default".to_owned(),
        label: "acme/one".to_owned(),
        region: "aws-eu-central-1".parse().unwrap(),
        postgres_version: 17,
        compute: compute_settings(4),
        quota: Quota {
            active_time_seconds: Some(3_600),
            ..Quota::default()
        },
        history_retention_seconds: Some(86_400),
        allowed_ips: Some(vec!["10.0.0.0/8".to_owned()]),
        database: "neondb".parse().unwrap(),
        owner: "neondb_owner".parse().unwrap(),
        deletion_policy: DeletionPolicy::Delete,
        on_existing_project: OnExistingProject::Stall,
        adopt: None,
        secret_name: SECRET.to_owned(),
    }
}

/// A compute that autoscales from 0.25 CU to this many quarters of a CU.
pub(super) fn compute_settings(max_quarters: u16) -> ComputeSettings {
    ComputeSettings {
        min: Some(ComputeUnits::MIN),
        max: Some(ComputeUnits::from_quarters(max_quarters)),
        suspend_timeout_seconds: Some(300),
    }
}

pub(super) fn observed_compute(settings: ComputeSettings) -> ObservedCompute {
    ObservedCompute {
        id: compute_id(),
        settings,
    }
}

pub(super) fn listed(project: &str) -> ObservedProject {
    ObservedProject {
        id: id(project),
        name: NAME.to_owned(),
        created_at: at(1),
        updated_at: "v1".to_owned(),
        quota: Some(desired().quota),
        allowed_ips: Some(BTreeSet::from(["10.0.0.0/8".to_owned()])),
        history_retention_seconds: Some(86_400),
        compute_defaults: compute_defaults(desired().compute),
        last_active_at: None,
        unused: false,
    }
}

/// A project that a request whose response was lost may have created, and that was never used.
pub(super) fn unused(project: &str) -> ObservedProject {
    ObservedProject {
        created_at: at(LOST_REQUEST),
        unused: true,
        ..listed(project)
    }
}

/// A request whose response was lost, at [`LOST_REQUEST`].
pub(super) fn lost_creation() -> LostCreation {
    LostCreation {
        requested_at: MicroTime(at(LOST_REQUEST)),
        settled_at: MicroTime(at(LOST_REQUEST + 130)),
    }
}

pub(super) fn project_status(project: &str) -> ProjectStatus {
    ProjectStatus {
        id: project.to_owned(),
        region: "aws-eu-central-1".to_owned(),
        name: NAME.to_owned(),
        branch_id: Some("br-calm-1".to_owned()),
        endpoint_id: Some(COMPUTE.to_owned()),
        adopted: false,
        reclaimed: false,
        checked_at: Some("v1".to_owned()),
    }
}

/// A recorded creation request whose project may appear until this many seconds after [`NOW`].
pub(super) fn pending_creation(settled_after_now: i64) -> CreationIntent {
    CreationIntent {
        project_name: NAME.to_owned(),
        requested_at: Some(MicroTime(at(NOW + settled_after_now - 130))),
        not_after: MicroTime(at(NOW + settled_after_now - 120)),
        settled_at: MicroTime(at(NOW + settled_after_now)),
        attempt: 1,
    }
}

pub(super) fn up_to_date() -> ObservedState {
    ObservedState {
        now: at(NOW),
        status: TenantStatus {
            project: Some(project_status(OWN)),
            effective: Some(desired().effective()),
            connection: Some(Connection {
                host: "ep-calm-1.eu.neon.tech".to_owned(),
                pooled_host: "ep-calm-1-pooler.eu.neon.tech".to_owned(),
                port: 5432,
                database: "neondb".to_owned(),
                role: "neondb_owner".to_owned(),
                ssl_mode: "require".to_owned(),
                options: None,
            }),
            binding: Some(Binding {
                name: SECRET.to_owned(),
                resource_version: Some(SECRET_VERSION.to_owned()),
                previous_name: None,
            }),
            schema: Some(SchemaStatus {
                version: Some(3),
                target: Some(3),
                checksum: Some("digest-3".to_owned()),
                applied_at: None,
                rollout: None,
                project_id: Some(OWN.to_owned()),
            }),
            ..TenantStatus::default()
        },
        has_finalizer: true,
        created_at: at(NOW - 70),
        suspended: false,
        deletion_protected: false,
        deletion_held: None,
        orphan: false,
        delete_duplicate: None,
        reconcile_at: None,
        class_has_finalizer: true,
        account: Ok(()),
        mark: ProjectMark::parse(NAME).unwrap(),
        project_name: NAME.to_owned(),
        annotated_project: Some(id(OWN)),
        named_project: None,
        ignored_projects: BTreeSet::new(),
        adoptable: BTreeSet::new(),
        holders: BTreeMap::new(),
        claim: None,
        listing: ObservedListing {
            as_of: Some(at(NOW - 60)),
            done_at: None,
            own: Some(listed(OWN)),
            marked: vec![listed(OWN)],
            namesakes: Vec::new(),
            unavailable: false,
            own_confirmed: true,
        },
        compute: None,
        inspection_due: false,
        settings_sent: None,
        project_found: false,
        deleted: None,
        secret: ObservedSecret::Owned {
            intact: true,
            project: Some(id(OWN)),
            ca_digest: None,
            resource_version: Some(SECRET_VERSION.to_owned()),
        },
        secret_differs: false,
        secret_repair_at: None,
        password_rejected: false,
        ca_digest: None,
        used_at: None,
        schema: Ok(SchemaTarget {
            rollout: None,
            backup: None,
            asleep_before: None,
            version: 3,
            digest: "digest-3".to_owned(),
        }),
    }
}

/// A new Tenant that has its finalizer and nothing else. Its account was listed a minute ago, after its creation.
pub(super) fn new_tenant() -> ObservedState {
    ObservedState {
        status: TenantStatus::default(),
        listing: ObservedListing {
            as_of: Some(at(NOW - 60)),
            ..ObservedListing::default()
        },
        secret: ObservedSecret::Missing,
        annotated_project: None,
        ..up_to_date()
    }
}

/// Another Tenant has this project.
pub(super) fn hold(observed: &mut ObservedState, project: &str, adopted: bool) {
    let tenant = "acme/other".to_owned();
    observed
        .holders
        .insert(id(project), Holder { tenant, adopted });
}

pub(super) fn issue(reason: Reason) -> Issue {
    Issue::new(Component::Project, reason, "a test issue")
}

/// The account of a Tenant whose class does not exist.
pub(super) fn class_missing() -> Result<(), Issue> {
    Err(issue(Reason::ClassNotFound))
}

pub(super) fn recorded_project(observed: &mut ObservedState) -> &mut ProjectStatus {
    observed.status.project.as_mut().unwrap()
}

pub(super) fn own_listed(observed: &mut ObservedState) -> &mut ObservedProject {
    observed.listing.own.as_mut().unwrap()
}

pub(super) fn provision(observed: &ObservedState) -> Step {
    plan(&Intent::Provision(Ok(desired())), observed)
}

pub(super) fn delete(policy: DeletionPolicy, observed: &ObservedState) -> Step {
    plan(&Intent::Delete(policy), observed)
}

/// A description, a change of the fixture, and the expected step.
pub(super) type Case = (
    &'static str,
    fn(&mut DesiredState, &mut ObservedState),
    Step,
);

/// Checks the plan of each case, starting from a fixture.
pub(super) fn check_cases(start: fn() -> ObservedState, cases: &[Case]) {
    for (description, change, expected) in cases {
        let (mut desired, mut observed) = (desired(), start());
        change(&mut desired, &mut observed);
        assert_eq!(
            plan(&Intent::Provision(Ok(desired)), &observed),
            *expected,
            "{description}"
        );
    }
}

/// A step that updates the project, with or without its compute.
pub(super) fn update(with_compute: bool) -> Step {
    Step::Update {
        project: id(OWN),
        compute: with_compute.then(compute_id),
    }
}

/// The reason of a stalled step.
pub(super) fn stall_reason(step: &Step) -> Option<Reason> {
    match step {
        Step::Stalled(issue) => Some(issue.reason),
        _ => None,
    }
}
