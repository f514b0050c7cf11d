use std::collections::BTreeMap;
use std::fmt::Write as _;

use crds::{ConditionType, MassDeletionStatus, TenantClass, find_condition};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;
use strum::IntoEnumIterator as _;

use super::*;
use crate::class::observe::ObservedClass;
use crate::class::status::build_status;
use crate::issue::Component;
use crate::tenant::annotations::TenantAnnotations;

/// Calls `show` with samples of the kind.
fn with_samples(kind: EventKind, mut show: impl FnMut(ControllerEvent<'_>)) {
    let project = &"calm-sea-12345678".parse().expect("an id");
    match kind {
        EventKind::ProjectCreated => show(ControllerEvent::ProjectCreated { project }),
        EventKind::CreatedProjectFound => show(ControllerEvent::CreatedProjectFound { project }),
        EventKind::ProjectAdopted => show(ControllerEvent::ProjectAdopted { project }),
        EventKind::ProjectReclaimed => show(ControllerEvent::ProjectReclaimed { project }),
        EventKind::ProjectUpdated => show(ControllerEvent::ProjectUpdated { project }),
        EventKind::ProjectRecovered => show(ControllerEvent::ProjectRecovered { project }),
        EventKind::NamedProjectRecovered => {
            show(ControllerEvent::NamedProjectRecovered { project });
        }
        EventKind::PasswordReset => show(ControllerEvent::PasswordReset { role: "app_owner" }),
        EventKind::SecretWritten => show(ControllerEvent::SecretWritten {
            project,
            secret: "acme-connection",
        }),
        EventKind::SecretRenamed => show(ControllerEvent::SecretRenamed {
            previous: "acme-old",
        }),
        EventKind::SecretContested => show(ControllerEvent::SecretContested {
            secret: "acme-connection",
        }),
        EventKind::Migrated => {
            for applied in [&[3][..], &[3, 4, 7]] {
                show(ControllerEvent::Migrated { applied });
            }
        }
        EventKind::DatabaseRestored => show(ControllerEvent::DatabaseRestored {
            backup: "before-default-7-3f2a91c0",
            created_at: Timestamp::from_second(1_790_000_000).ok(),
            failed_branch: "failed-default-7-3f2a91c0",
        }),
        EventKind::NamedDuplicateDeleted => {
            show(ControllerEvent::NamedDuplicateDeleted { project });
        }
        EventKind::UnusedDuplicateDeleted => {
            show(ControllerEvent::UnusedDuplicateDeleted { project });
        }
        EventKind::ProjectDeleted => show(ControllerEvent::ProjectDeleted { project }),
        EventKind::ProjectRetained => show(ControllerEvent::ProjectRetained {
            project: project.as_str(),
        }),
        EventKind::ForeignProjectKept => show(ControllerEvent::ForeignProjectKept {
            project: project.as_str(),
        }),
        EventKind::ProjectOrphaned => {
            for project in [Some(project.as_str()), None] {
                show(ControllerEvent::ProjectOrphaned { project });
            }
        }
        EventKind::InvalidAnnotation => {
            for problem in annotation_problems() {
                show(ControllerEvent::InvalidAnnotation { problem: &problem });
            }
        }
        EventKind::TenantStalled => show(ControllerEvent::TenantStalled(&Issue::new(
            Component::Schema,
            Reason::MigrationFailed,
            "<message of the condition Ready>",
        ))),
        EventKind::OrphanedProjects => {
            for count in [1, 2, 21] {
                let ids = (1..=count.min(2)).map(|n| format!("calm-sea-{n}"));
                show(ControllerEvent::OrphanedProjects(&OrphanedProjects {
                    count,
                    ids: ids.collect(),
                }));
            }
        }
        EventKind::DeletionsHeld => show(ControllerEvent::DeletionsHeld {
            message: &message_of(ConditionType::DeletionsHeld),
        }),
        EventKind::PlanExceeded => show(ControllerEvent::PlanExceeded {
            message: "<message of the condition PlanExceeded>",
        }),
        EventKind::ClassTerminating => show(ControllerEvent::ClassTerminating {
            message: &message_of(ConditionType::Ready),
        }),
        EventKind::RolloutChanged => {
            for reason in [Reason::RolloutStarted, Reason::FailureBudgetExceeded] {
                show(ControllerEvent::RolloutChanged {
                    reason,
                    message: "<message of the condition Ready>",
                });
            }
        }
    }
}

/// Message of a condition of a class that is being deleted and whose Tenants' deletions are held.
fn message_of(condition: ConditionType) -> String {
    let spec = json!({ "neon": { "apiKeySecretRef": { "name": "neon" } } });
    let spec = serde_json::from_value(spec).expect("a spec");
    let mut class = TenantClass::new("standard", spec);
    let now = Time(Timestamp::UNIX_EPOCH);
    class.metadata.deletion_timestamp = Some(now.clone());
    let observed = ObservedClass {
        tenants: 40,
        orphaned: None,
        account: None,
        mass_deletion: Some(MassDeletionStatus {
            held_since: Some(now.clone()),
            ..MassDeletionStatus::default()
        }),
        rollout: None,
        pending_deletions: 12,
        issue: None,
    };
    let status = build_status(&class, &observed, now.0);
    let condition = find_condition(&status.conditions, condition).expect("a condition");
    condition.message.clone()
}

fn annotation_problems() -> Vec<String> {
    let invalid = [
        (annotations::ORPHAN, "True"),
        (annotations::DELETE_DUPLICATE, "the second one"),
        (annotations::RECONCILE_AT, &"9".repeat(200)),
        ("dbpertenant.dev/ProjectID", "calm-sea-12345678"),
    ];
    let invalid = invalid.map(|(name, value)| (name.to_owned(), value.to_owned()));
    TenantAnnotations::read(&BTreeMap::from(invalid)).problems
}

#[test]
fn every_event() {
    let mut text = String::new();
    for kind in EventKind::iter() {
        let before = text.len();
        with_samples(kind, |event| {
            assert_eq!(EventKind::from(&event), kind);
            let (event_type, reason, note) = (event.event_type(), event.reason(), event.note());
            writeln!(text, "{event_type:?} {reason}: {note}").expect("written");
        });
        assert!(text.len() > before, "{kind:?} has no sample");
    }
    insta::assert_snapshot!(text);
}
