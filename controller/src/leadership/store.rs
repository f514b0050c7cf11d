//! Reads and writes the Lease object. Every write names the version that it replaces.

use std::future::Future;
use std::time::Duration;

use crds::{FIELD_MANAGER, annotations, labels};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use service_kit::kubernetes::describe_error;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseRecord {
    /// `None` after a release.
    pub(super) holder: Option<String>,
    /// How long standbys must wait after the last change; `None` if the object gives no duration.
    pub(super) duration: Option<Duration>,
    /// Number of acquisitions. It distinguishes two acquisitions by the same identity.
    pub(super) transitions: i32,
    pub(super) version: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseUpdate {
    /// `None` releases the Lease.
    pub(super) holder: Option<String>,
    pub(super) duration: Duration,
    pub(super) transitions: i32,
    /// Whether this write acquires the Lease, as opposed to renewing or releasing it.
    pub(super) acquires: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("the lease was changed by another client")]
    Conflict,
    #[error("the lease does not exist")]
    Missing,
    /// Any other error. The write may or may not have happened.
    #[error("{0}")]
    Failed(String),
    /// The write may or may not have happened.
    #[error("the Kubernetes API did not respond in time")]
    TimedOut,
}

pub(super) trait LeaseStore: Clone + Send + Sync + 'static {
    /// `None` if the Lease does not exist.
    fn read(&self) -> impl Future<Output = Result<Option<LeaseRecord>, StoreError>> + Send;

    /// Replaces version `expected`. With `None`, creates the Lease.
    fn write(
        &self,
        expected: Option<&str>,
        update: LeaseUpdate,
    ) -> impl Future<Output = Result<LeaseRecord, StoreError>> + Send;
}

#[derive(Clone, Debug)]
pub(super) struct KubeLeaseStore {
    api: Api<Lease>,
    namespace: String,
    name: String,
    /// Name of the controller, which every write records.
    controller_name: String,
}

impl KubeLeaseStore {
    pub(super) fn new(client: Client, namespace: &str, name: &str, controller_name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            controller_name: controller_name.to_owned(),
        }
    }

    /// Identifies the Lease for other installations.
    fn metadata(&self) -> ObjectMeta {
        let labels = [(labels::MANAGED_BY, FIELD_MANAGER)];
        let annotations = [(annotations::CONTROLLER_NAME, self.controller_name.as_str())];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        ObjectMeta {
            labels: Some(labels.map(owned).into()),
            annotations: Some(annotations.map(owned).into()),
            ..ObjectMeta::default()
        }
    }
}

impl LeaseStore for KubeLeaseStore {
    async fn read(&self) -> Result<Option<LeaseRecord>, StoreError> {
        let lease = self.api.get_opt(&self.name).await.map_err(store_error)?;
        Ok(lease.map(record))
    }

    async fn write(
        &self,
        expected: Option<&str>,
        update: LeaseUpdate,
    ) -> Result<LeaseRecord, StoreError> {
        let spec = spec(&update);
        let written = if let Some(version) = expected {
            // A merge patch keeps fields that other clients added to the object.
            let metadata = ObjectMeta {
                resource_version: Some(version.to_owned()),
                ..self.metadata()
            };
            let patch = json!({ "metadata": metadata, "spec": spec });
            let patch = Patch::Merge(patch);
            self.api
                .patch(&self.name, &PatchParams::default(), &patch)
                .await
        } else {
            let metadata = ObjectMeta {
                name: Some(self.name.clone()),
                ..self.metadata()
            };
            let lease = Lease {
                metadata,
                spec: Some(spec),
            };
            self.api.create(&PostParams::default(), &lease).await
        };
        written
            .map(record)
            .map_err(|error| match store_error(error) {
                StoreError::Missing if expected.is_none() => StoreError::Failed(format!(
                    "namespace {} does not exist: create it, or set --namespace to another one",
                    self.namespace
                )),
                error => error,
            })
    }
}

/// The timestamps are informational: no replica compares them with its own clock.
fn spec(update: &LeaseUpdate) -> LeaseSpec {
    let now = Some(MicroTime(Timestamp::now()));
    LeaseSpec {
        holder_identity: Some(update.holder.clone().unwrap_or_default()),
        lease_duration_seconds: Some(i32::try_from(update.duration.as_secs()).unwrap_or(i32::MAX)),
        lease_transitions: Some(update.transitions),
        acquire_time: if update.acquires { now.clone() } else { None },
        renew_time: now,
        ..LeaseSpec::default()
    }
}

fn record(lease: Lease) -> LeaseRecord {
    let version = lease.resource_version().unwrap_or_default();
    let spec = lease.spec.unwrap_or_default();
    LeaseRecord {
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

fn store_error(error: kube::Error) -> StoreError {
    match error {
        kube::Error::Api(status) if status.code == 409 => StoreError::Conflict,
        kube::Error::Api(status) if status.code == 404 => StoreError::Missing,
        error => StoreError::Failed(describe_error(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_lease_has_no_holder() {
        let update = LeaseUpdate {
            holder: None,
            duration: Duration::from_secs(15),
            transitions: 3,
            acquires: false,
        };
        let lease = Lease {
            spec: Some(spec(&update)),
            ..Lease::default()
        };
        let record = record(lease);
        assert_eq!(record.holder, None);
        assert_eq!(record.duration, Some(Duration::from_secs(15)));
        assert_eq!(record.transitions, 3);
    }

    #[test]
    fn a_lease_without_a_spec_has_no_holder() {
        let record = record(Lease::default());
        assert_eq!((record.holder, record.duration), (None, None));
    }

    #[test]
    fn a_renewal_does_not_change_the_acquire_time() {
        let mut update = LeaseUpdate {
            holder: Some("a".to_owned()),
            duration: Duration::from_secs(15),
            transitions: 1,
            acquires: true,
        };
        assert!(spec(&update).acquire_time.is_some());
        update.acquires = false;
        assert!(
            json!(spec(&update)).get("acquireTime").is_none(),
            "a merge patch must not set it to null"
        );
    }
}
