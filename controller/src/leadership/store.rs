//! Reading and writing the Lease's record. Every write names the version that it replaces.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::connect::describe;

/// What the Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Who holds it; `None` when it was given back.
    pub(super) holder: Option<String>,
    /// How long others have to wait after the last change; `None` when it does not say.
    pub(super) duration: Option<Duration>,
    /// How often it went to another tenure. Two tenures of one identity differ in it.
    pub(super) transitions: i32,
    /// Changes with every write.
    pub(super) version: String,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    /// Who holds it from now on; `None` gives it back.
    pub(super) holder: Option<String>,
    /// How long others have to wait.
    pub(super) duration: Duration,
    /// Number of the tenure.
    pub(super) transitions: i32,
    /// Whether the tenure begins with this write.
    pub(super) begins: bool,
}

/// A read or write that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// The record is not of the version that was named, or exists already.
    #[error("the lease was changed meanwhile")]
    Conflict,
    /// There is no record to change.
    #[error("the lease was deleted")]
    Missing,
    /// Another failure, in words. A write may have happened or not.
    #[error("{0}")]
    Failed(String),
    /// No answer in time; a write may have happened or not.
    #[error("the Kubernetes API did not answer in time")]
    TimedOut,
}

/// Where the record is.
pub(super) trait Store: Clone + Send + Sync + 'static {
    /// The record, if there is one.
    fn read(&self) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;

    /// Replaces the record of version `expected`; with `None`, makes it.
    fn write(
        &self,
        expected: Option<&str>,
        draft: Draft,
    ) -> impl Future<Output = Result<Record, StoreError>> + Send;
}

/// The record in a cluster.
#[derive(Clone, Debug)]
pub(super) struct KubeStore {
    api: Api<Lease>,
    namespace: String,
    name: String,
}

impl KubeStore {
    pub(super) fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl Store for KubeStore {
    async fn read(&self) -> Result<Option<Record>, StoreError> {
        let lease = self.api.get_opt(&self.name).await.map_err(failed)?;
        Ok(lease.map(record))
    }

    async fn write(&self, expected: Option<&str>, draft: Draft) -> Result<Record, StoreError> {
        let spec = spec(&draft);
        let written = if let Some(version) = expected {
            // A merge keeps what others put on the object.
            let patch = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
            let patch = Patch::Merge(patch);
            self.api
                .patch(&self.name, &PatchParams::default(), &patch)
                .await
        } else {
            let metadata = ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            };
            let lease = Lease {
                metadata,
                spec: Some(spec),
            };
            self.api.create(&PostParams::default(), &lease).await
        };
        written.map(record).map_err(|error| match failed(error) {
            StoreError::Missing if expected.is_none() => StoreError::Failed(format!(
                "there is no namespace {}: make it, or name another with --namespace",
                self.namespace
            )),
            problem => problem,
        })
    }
}

/// The times are for people: no replica reads another's clock.
fn spec(draft: &Draft) -> LeaseSpec {
    let now = Some(MicroTime(Timestamp::now()));
    LeaseSpec {
        holder_identity: Some(draft.holder.clone().unwrap_or_default()),
        lease_duration_seconds: Some(i32::try_from(draft.duration.as_secs()).unwrap_or(i32::MAX)),
        lease_transitions: Some(draft.transitions),
        acquire_time: if draft.begins { now.clone() } else { None },
        renew_time: now,
        ..LeaseSpec::default()
    }
}

fn record(lease: Lease) -> Record {
    let version = lease.resource_version().unwrap_or_default();
    let spec = lease.spec.unwrap_or_default();
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: spec
            .lease_duration_seconds
            .and_then(|s| u64::try_from(s).ok())
            .filter(|s| *s > 0)
            .map(Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or(0),
        version,
    }
}

fn failed(error: kube::Error) -> StoreError {
    match error {
        kube::Error::Api(status) if status.code == 409 => StoreError::Conflict,
        kube::Error::Api(status) if status.code == 404 => StoreError::Missing,
        error => StoreError::Failed(describe(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_was_given_back_has_no_holder() {
        let draft = Draft {
            holder: None,
            duration: Duration::from_secs(15),
            transitions: 3,
            begins: false,
        };
        let lease = Lease {
            spec: Some(spec(&draft)),
            ..Lease::default()
        };
        let record = record(lease);
        assert_eq!(record.holder, None);
        assert_eq!(record.duration, Some(Duration::from_secs(15)));
        assert_eq!(record.transitions, 3);
    }

    #[test]
    fn a_lease_without_a_spec_is_nobodys() {
        let record = record(Lease::default());
        assert_eq!((record.holder, record.duration), (None, None));
    }

    #[test]
    fn renewals_leave_the_time_of_acquisition_alone() {
        let mut draft = Draft {
            holder: Some("a".to_owned()),
            duration: Duration::from_secs(15),
            transitions: 1,
            begins: true,
        };
        assert!(spec(&draft).acquire_time.is_some());
        draft.begins = false;
        assert!(
            json!(spec(&draft)).get("acquireTime").is_none(),
            "a merge must not null it"
        );
    }
}
