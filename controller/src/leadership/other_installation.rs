//! Prevents a second installation with the same controller name. Both would reconcile the same
//! Tenants, because each installation has its own Lease.
//!
//! Every installation marks its Lease with its controller name. A Lease counts as held while its
//! holder renews it, which this process observes with its own clock.

use std::future::Future;
use std::time::Duration;

use crds::{FIELD_MANAGER, annotations, labels};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};

use super::clock::Clock;
use super::store::StoreError;
use service_kit::kubernetes::describe_error;

/// Time between two looks at the Lease of another installation.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Duration of a Lease that names none.
const DEFAULT_LEASE_DURATION: Duration = Duration::from_secs(15);
/// Longest duration of a Lease that is waited for; the longest that the settings allow.
const MAX_LEASE_DURATION: Duration = Duration::from_mins(10);

/// Another installation with the same controller name is running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "another installation with the controller name {controller_name} is running in namespace {namespace} (Lease {lease}, \
     held by {holder}): uninstall one of the two, or set controller-name of this one to another name and create its own \
     TenantClasses with that name as spec.controllerName"
)]
pub struct OtherInstallation {
    pub(super) controller_name: String,
    pub(super) namespace: String,
    pub(super) lease: String,
    pub(super) holder: String,
}

/// A Lease of another installation that has a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldLease {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) holder: String,
    pub(super) duration: Duration,
    pub(super) version: String,
}

/// Reads the Leases of other installations.
pub(super) trait OtherLeases: Clone + Send + Sync + 'static {
    /// The Leases in other namespaces that have a holder and this controller name.
    fn held(&self) -> impl Future<Output = Result<Vec<HeldLease>, StoreError>> + Send;
}

/// Returns another installation that renews its Lease. Waits for a renewal as long as the Leases of
/// other installations last, and returns immediately if there are none.
pub(super) async fn find_running(
    leases: &impl OtherLeases,
    clock: &impl Clock,
    controller_name: &str,
) -> Result<Option<OtherInstallation>, StoreError> {
    let first = leases.held().await?;
    let longest = first.iter().map(|lease| lease.duration).max();
    let Some(longest) = longest else {
        return Ok(None);
    };
    let until = clock.now() + longest.min(MAX_LEASE_DURATION);
    while clock.now() < until {
        clock.sleep(POLL_INTERVAL).await;
        let now = leases.held().await?;
        let renewed = now.into_iter().find(|lease| !first.contains(lease));
        if let Some(lease) = renewed {
            return Ok(Some(OtherInstallation {
                controller_name: controller_name.to_owned(),
                namespace: lease.namespace,
                lease: lease.name,
                holder: lease.holder,
            }));
        }
    }
    Ok(None)
}

#[derive(Clone, Debug)]
pub(super) struct KubeOtherLeases {
    api: Api<Lease>,
    namespace: String,
    controller_name: String,
}

impl KubeOtherLeases {
    /// `namespace` is this controller's own namespace.
    pub(super) fn new(client: Client, namespace: &str, controller_name: &str) -> Self {
        Self {
            api: Api::all(client),
            namespace: namespace.to_owned(),
            controller_name: controller_name.to_owned(),
        }
    }
}

impl OtherLeases for KubeOtherLeases {
    async fn held(&self) -> Result<Vec<HeldLease>, StoreError> {
        let ours = ListParams::default().labels(&format!("{}={FIELD_MANAGER}", labels::MANAGED_BY));
        let list = self.api.list(&ours).await;
        let list = list.map_err(|error| StoreError::Failed(describe_error(&error)))?;
        Ok(list
            .into_iter()
            .filter(|lease| {
                lease.namespace().as_deref() != Some(&self.namespace)
                    && lease.annotations().get(annotations::CONTROLLER_NAME)
                        == Some(&self.controller_name)
            })
            .filter_map(held)
            .collect())
    }
}

fn held(lease: Lease) -> Option<HeldLease> {
    let namespace = lease.namespace().unwrap_or_default();
    let (name, version) = (lease.name_any(), lease.resource_version());
    let spec = lease.spec?;
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty())?;
    let seconds = spec
        .lease_duration_seconds
        .and_then(|s| u64::try_from(s).ok());
    Some(HeldLease {
        namespace,
        name,
        holder,
        duration: seconds.map_or(DEFAULT_LEASE_DURATION, Duration::from_secs),
        version: version.unwrap_or_default(),
    })
}
