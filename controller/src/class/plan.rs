//! Decides whether a class needs its finalizer. Pure.

use crds::{TenantClass, finalizers};

/// A change of the class's finalizers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassStep {
    /// Add the `in-use` finalizer; the value is the complete list.
    AddFinalizer(Vec<String>),
    /// Remove the `in-use` finalizer; the value is the remaining list.
    RemoveFinalizer(Vec<String>),
}

/// A class has the finalizer while Tenants use it. A class that is being deleted accepts no new
/// finalizer.
pub fn plan(class: &TenantClass, in_use: bool) -> Option<ClassStep> {
    let mut list = class.metadata.finalizers.clone().unwrap_or_default();
    let has_finalizer = list.iter().any(|finalizer| finalizer == finalizers::IN_USE);
    let deleting = class.metadata.deletion_timestamp.is_some();
    match (in_use, has_finalizer) {
        (true, false) if !deleting => {
            list.push(finalizers::IN_USE.to_owned());
            Some(ClassStep::AddFinalizer(list))
        }
        (false, true) => {
            list.retain(|finalizer| finalizer != finalizers::IN_USE);
            Some(ClassStep::RemoveFinalizer(list))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn class(finalizers: &[&str], deleting: bool) -> TenantClass {
        let spec = serde_json::from_value(serde_json::json!({
            "neon": { "apiKeySecretRef": { "name": "neon", "key": "api-key" } },
        }));
        let mut class = TenantClass::new("standard", spec.unwrap());
        class.metadata.finalizers = Some(finalizers.iter().map(ToString::to_string).collect());
        class.metadata.deletion_timestamp =
            deleting.then(|| Time("2026-01-01T00:00:00Z".parse().unwrap()));
        class
    }

    #[test]
    fn a_class_has_the_finalizer_exactly_while_it_is_in_use() {
        let other = "example.com/other";
        let both = vec![other.to_owned(), finalizers::IN_USE.to_owned()];
        assert_eq!(
            plan(&class(&[other], false), true),
            Some(ClassStep::AddFinalizer(both))
        );
        assert_eq!(plan(&class(&[finalizers::IN_USE], false), true), None);
        assert_eq!(
            plan(&class(&[finalizers::IN_USE, other], true), false),
            Some(ClassStep::RemoveFinalizer(vec![other.to_owned()]))
        );
        assert_eq!(plan(&class(&[other], false), false), None);
    }

    #[test]
    fn a_class_that_is_being_deleted_gets_no_finalizer() {
        assert_eq!(plan(&class(&[], true), true), None);
    }
}
