//! A wish, a Tenant at rest with it, and a new one; and the form of a table of cases.

use std::collections::BTreeSet;

use crds::{
    Binding, Connection, CreationIntent, DeletionPolicy, ProjectStatus, Reason, SchemaStatus,
    TenantStatus,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use neon_client::ids::{EndpointId, ProjectId};
use neon_client::model::ComputeUnits;

use crate::tenant::desired::{ComputeSettings, DesiredState, Issue, Quota};
use crate::tenant::observed::{
    ObservedAccount, ObservedCompute, ObservedListing, ObservedProject, ObservedSecret,
    ObservedState, Schema, SchemaTarget,
};
use crate::tenant::plan::{Intent, Step, plan};

/// The recorded project of a Tenant at rest.
pub(super) const OWN: &str = "calm-sea-1";
/// A second project with the Tenant's mark.
pub(super) const TWIN: &str = "late-sea-2";
/// A third.
pub(super) const THIRD: &str = "late-sea-3";
pub(super) const ENDPOINT: &str = "ep-calm-1";
pub(super) const NAME: &str = "acme/one dbpt-test/00000000-0000-0000-0000-000000000001";
pub(super) const SECRET: &str = "one-connection";
/// The moment of every pass, in seconds.
pub(super) const NOW: i64 = 10_000;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(super) fn id(text: &str) -> ProjectId {
    text.parse().unwrap()
}

pub(super) fn endpoint_id() -> EndpointId {
    ENDPOINT.parse().unwrap()
}

pub(super) fn desired() -> DesiredState {
    DesiredState {
        class_name: "default".to_owned(),
        label: "acme/one".to_owned(),
        region: "aws-eu-central-1".parse().unwrap(),
        postgres_version: 17,
        compute: compute(4),
        quota: Quota {
            active_time_seconds: Some(3_600),
            ..Quota::default()
        },
        history_retention_seconds: Some(86_400),
        allowed_ips: Some(vec!["10.0.0.0/8".to_owned()]),
        database: "neondb".parse().unwrap(),
        owner: "neondb_owner".parse().unwrap(),
        deletion_policy: DeletionPolicy::Delete,
        adopt: None,
        secret_name: SECRET.to_owned(),
    }
}

/// From a quarter of a unit up to so many quarters.
pub(super) fn compute(quarters_max: u16) -> ComputeSettings {
    ComputeSettings {
        min: Some(ComputeUnits::MIN),
        max: Some(ComputeUnits::from_quarters(quarters_max)),
        suspend_timeout_seconds: Some(300),
    }
}

pub(super) fn endpoint(compute: ComputeSettings) -> ObservedCompute {
    ObservedCompute {
        id: endpoint_id(),
        compute,
    }
}

pub(super) fn seen(project: &str) -> ObservedProject {
    ObservedProject {
        id: id(project),
        name: NAME.to_owned(),
        created_at: at(1),
        updated_at: "v1".to_owned(),
        quota: Some(desired().quota),
        allowed_ips: Some(BTreeSet::from(["10.0.0.0/8".to_owned()])),
        history_retention_seconds: Some(86_400),
    }
}

pub(super) fn project_status(project: &str) -> ProjectStatus {
    ProjectStatus {
        id: project.to_owned(),
        region: "aws-eu-central-1".to_owned(),
        name: NAME.to_owned(),
        branch_id: Some("br-calm-1".to_owned()),
        endpoint_id: Some(ENDPOINT.to_owned()),
        adopted: false,
        checked_at: Some("v1".to_owned()),
    }
}

/// The record of a request whose project may appear until so many seconds after [`NOW`].
pub(super) fn intent(settled_after_now: i64) -> CreationIntent {
    CreationIntent {
        project_name: NAME.to_owned(),
        not_after: MicroTime(at(NOW + settled_after_now - 120)),
        settled_at: MicroTime(at(NOW + settled_after_now)),
        attempt: 1,
    }
}

/// A Tenant that has everything it wishes for.
pub(super) fn resting() -> ObservedState {
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
            }),
            schema: Some(SchemaStatus {
                version: Some(3),
                target: 3,
                checksum: Some("digest-3".to_owned()),
                applied_at: None,
                project_id: Some(OWN.to_owned()),
            }),
            ..TenantStatus::default()
        },
        has_finalizer: true,
        suspended: false,
        orphan: false,
        reconcile_at: None,
        class_has_finalizer: true,
        account: ObservedAccount::Usable,
        project_name: NAME.to_owned(),
        listing: ObservedListing {
            as_of: Some(at(NOW - 60)),
            done_at: None,
            own: Some(seen(OWN)),
            marked: vec![seen(OWN)],
            unavailable: false,
        },
        endpoint: None,
        project_found: false,
        deleted: None,
        taken_by: None,
        secret: ObservedSecret::Owned {
            intact: true,
            project: Some(id(OWN)),
            ca_digest: None,
        },
        password_rejected: false,
        ca_digest: None,
        schema: Schema::Target(SchemaTarget {
            version: 3,
            digest: "digest-3".to_owned(),
        }),
    }
}

/// A new Tenant, with the finalizer on and nothing else done; its account was listed a minute ago.
pub(super) fn new() -> ObservedState {
    ObservedState {
        status: TenantStatus::default(),
        listing: ObservedListing {
            as_of: Some(at(NOW - 60)),
            ..ObservedListing::default()
        },
        secret: ObservedSecret::Missing,
        ..resting()
    }
}

pub(super) fn issue(reason: Reason) -> Issue {
    Issue {
        reason,
        message: "in the words of a test".to_owned(),
    }
}

/// The account cannot be used, since its class is not there.
pub(super) fn no_class() -> ObservedAccount {
    ObservedAccount::Unusable(issue(Reason::ClassNotFound))
}

pub(super) fn own_status(observed: &mut ObservedState) -> &mut ProjectStatus {
    observed.status.project.as_mut().unwrap()
}

pub(super) fn own_seen(observed: &mut ObservedState) -> &mut ObservedProject {
    observed.listing.own.as_mut().unwrap()
}

pub(super) fn live(observed: &ObservedState) -> Step {
    plan(&Intent::Provision(Ok(desired())), observed)
}

pub(super) fn go(policy: DeletionPolicy, observed: &ObservedState) -> Step {
    plan(&Intent::Delete(policy), observed)
}

/// What differs from the beginning, and the step that follows.
pub(super) type Case = (
    &'static str,
    fn(&mut DesiredState, &mut ObservedState),
    Step,
);

/// Plans each case, beginning with these facts.
pub(super) fn each(begin: fn() -> ObservedState, cases: &[Case]) {
    for (what, change, expected) in cases {
        let (mut desired, mut observed) = (desired(), begin());
        change(&mut desired, &mut observed);
        assert_eq!(
            plan(&Intent::Provision(Ok(desired)), &observed),
            *expected,
            "{what}"
        );
    }
}

/// The step that changes the project, and its compute too or not.
pub(super) fn update(with_compute: bool) -> Step {
    Step::Update {
        project: id(OWN),
        compute: with_compute.then(endpoint_id),
    }
}

/// The reason of a stall, and nothing of its words.
pub(super) fn stalled_by(step: &Step) -> Option<Reason> {
    match step {
        Step::Stalled(issue) => Some(issue.reason),
        _ => None,
    }
}
