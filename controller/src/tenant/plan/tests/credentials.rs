//! The connection Secret: when it is written, and when it is left unchanged.

use crds::Reason;

use super::fixtures::*;
use crate::cache::ObservedSecret;
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::Step;

/// A Secret that the Tenant owns.
fn owned(intact: bool, project: Option<&str>, ca: Option<&str>) -> ObservedSecret {
    ObservedSecret::Owned {
        intact,
        project: project.map(id),
        ca_digest: ca.map(str::to_owned),
        resource_version: Some(SECRET_VERSION.to_owned()),
    }
}

/// The Secret of an up-to-date Tenant in another version, with all keys as the controller owns them.
fn changed() -> ObservedSecret {
    ObservedSecret::Owned {
        intact: true,
        project: Some(id(OWN)),
        ca_digest: None,
        resource_version: Some("8".to_owned()),
    }
}

#[test]
fn a_secret_in_another_version_is_compared_with_what_the_controller_would_write() {
    let mut observed = up_to_date();
    observed.secret = changed();
    assert_eq!(provision(&observed), Step::CheckSecret(id(OWN)));
    observed.secret_differs = true;
    assert_eq!(provision(&observed), Step::WriteSecret(id(OWN)));
}

#[test]
fn a_secret_that_another_client_keeps_changing_is_repaired_later() {
    for secret in [
        changed(),
        ObservedSecret::Missing,
        owned(false, Some(OWN), None),
    ] {
        let mut observed = up_to_date();
        observed.secret = secret;
        observed.secret_repair_at = Some(at(NOW + 5));
        let Step::Wait { until, issue } = provision(&observed) else {
            panic!("the plan does not wait")
        };
        assert_eq!(
            (until, issue.reason),
            (Some(at(NOW + 5)), Reason::SecretContested)
        );
        insta::allow_duplicates!(
            insta::assert_snapshot!(issue.message, @"another client keeps changing Secret one-connection or status.connection; the controller checks them again at 1970-01-01T02:46:45Z: stop the other client; if it needs this Secret, set another name in spec.connectionSecret.name")
        );
    }
}

#[test]
fn a_first_secret_or_a_new_password_is_written_immediately() {
    let immediate: [fn(&mut ObservedState); 3] = [
        |observed| observed.status.binding = None,
        |observed| observed.password_rejected = true,
        |observed| observed.secret_differs = true,
    ];
    for change in immediate {
        let mut observed = up_to_date();
        observed.secret_repair_at = Some(at(NOW + 5));
        change(&mut observed);
        assert_eq!(provision(&observed), Step::WriteSecret(id(OWN)));
    }
}

#[test]
fn a_modified_or_deleted_secret_is_written_again() {
    assert_eq!(owned(true, Some(OWN), None), up_to_date().secret);
    let write = || Step::WriteSecret(id(OWN));
    check_cases(
        up_to_date,
        &[
            (
                "deleted",
                |_, observed| observed.secret = ObservedSecret::Missing,
                write(),
            ),
            (
                "a key was modified",
                |_, observed| observed.secret = owned(false, Some(OWN), None),
                write(),
            ),
            (
                "the credentials belong to another project",
                |_, observed| observed.secret = owned(true, Some(DUPLICATE), None),
                write(),
            ),
            (
                "the project of the credentials is unknown",
                |_, observed| observed.secret = owned(true, None, None),
                write(),
            ),
            (
                "the spec sets another name",
                |desired, _| desired.secret_name = "other".to_owned(),
                write(),
            ),
            (
                "the status has no connection",
                |_, observed| observed.status.connection = None,
                write(),
            ),
            (
                "the status has no binding",
                |_, observed| observed.status.binding = None,
                write(),
            ),
            (
                "the database rejects the password",
                |_, observed| observed.password_rejected = true,
                write(),
            ),
        ],
    );
}

#[test]
fn a_secret_contains_the_ca_certificates_of_the_class() {
    for (class_digest, secret_digest, matches) in [
        (None, None, true),
        (Some("ca-1"), None, false),
        (None, Some("ca-1"), false),
        (Some("ca-2"), Some("ca-1"), false),
        (Some("ca-1"), Some("ca-1"), true),
    ] {
        let mut observed = up_to_date();
        observed.ca_digest = class_digest.map(str::to_owned);
        observed.secret = owned(true, Some(OWN), secret_digest);
        let expected = if matches {
            Step::UpToDate
        } else {
            Step::WriteSecret(id(OWN))
        };
        assert_eq!(
            provision(&observed),
            expected,
            "{class_digest:?} {secret_digest:?}"
        );
    }
}

#[test]
fn a_secret_that_the_tenant_does_not_own_is_never_written() {
    let mut observed = up_to_date();
    observed.secret = ObservedSecret::NotOwned;
    for rejected in [false, true] {
        observed.password_rejected = rejected;
        let step = provision(&observed);
        let Step::Stalled(issue) = step else {
            panic!("the plan does not stall")
        };
        assert_eq!(issue.reason, Reason::SecretConflict);
        insta::allow_duplicates!(
            insta::assert_snapshot!(issue.message, @"Secret one-connection exists and does not belong to this Tenant: delete it, or set another name in spec.connectionSecret.name")
        );
    }
}
