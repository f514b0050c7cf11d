//! The Secret: when it is written again, and when it is left alone.

use crds::Reason;

use super::fixtures::*;
use crate::tenant::observed::ObservedSecret;
use crate::tenant::plan::Step;

/// A Secret of the Tenant's.
fn ours(intact: bool, project: Option<&str>, ca: Option<&str>) -> ObservedSecret {
    ObservedSecret::Owned {
        intact,
        project: project.map(id),
        ca_digest: ca.map(str::to_owned),
    }
}

#[test]
fn a_secret_that_was_changed_or_removed_is_written_again() {
    assert_eq!(ours(true, Some(OWN), None), resting().secret);
    let write = || Step::WriteSecret(id(OWN));
    each(
        resting,
        &[
            (
                "removed",
                |_, observed| observed.secret = ObservedSecret::Missing,
                write(),
            ),
            (
                "a key was changed",
                |_, observed| observed.secret = ours(false, Some(OWN), None),
                write(),
            ),
            (
                "another project's",
                |_, observed| observed.secret = ours(true, Some(TWIN), None),
                write(),
            ),
            (
                "nobody knows whose",
                |_, observed| observed.secret = ours(true, None, None),
                write(),
            ),
            (
                "the spec names another",
                |desired, _| desired.secret_name = "other".to_owned(),
                write(),
            ),
            (
                "the connection is not known",
                |_, observed| observed.status.connection = None,
                write(),
            ),
            (
                "the binding is not known",
                |_, observed| observed.status.binding = None,
                write(),
            ),
            (
                "the password is refused",
                |_, observed| observed.password_rejected = true,
                write(),
            ),
        ],
    );
}

#[test]
fn a_secret_hands_on_the_certificates_of_the_class() {
    for (of_class, in_secret, fits) in [
        (None, None, true),
        (Some("ca-1"), None, false),
        (None, Some("ca-1"), false),
        (Some("ca-2"), Some("ca-1"), false),
        (Some("ca-1"), Some("ca-1"), true),
    ] {
        let mut observed = resting();
        observed.ca_digest = of_class.map(str::to_owned);
        observed.secret = ours(true, Some(OWN), in_secret);
        let expected = if fits {
            Step::UpToDate
        } else {
            Step::WriteSecret(id(OWN))
        };
        assert_eq!(live(&observed), expected, "{of_class:?} {in_secret:?}");
    }
}

#[test]
fn a_secret_that_is_somebody_elses_is_never_written() {
    let mut observed = resting();
    observed.secret = ObservedSecret::NotOwned;
    for rejected in [false, true] {
        observed.password_rejected = rejected;
        let step = live(&observed);
        assert_eq!(stalled_by(&step), Some(Reason::SecretConflict));
        assert!(matches!(step, Step::Stalled(issue) if issue.message.contains(SECRET)));
    }
}
