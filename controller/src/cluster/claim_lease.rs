//! The Lease that represents the claim of a project.

use std::collections::BTreeMap;

use crds::{FIELD_MANAGER, annotations, labels};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use neon_client::ids::ProjectId;

use super::{ClaimHolder, ProjectClaim};
use crate::cache::NamespacedName;
use crate::identity::TenantUid;

pub(super) fn name(project: &ProjectId) -> String {
    format!("project-{project}-claim")
}

/// The Lease of a claim. `existing` is the version that it replaces.
pub(super) fn lease(
    project: &ProjectId,
    holder: &ClaimHolder,
    existing: Option<&ProjectClaim>,
) -> Lease {
    let ClaimHolder { tenant, uid } = holder;
    Lease {
        metadata: ObjectMeta {
            name: Some(name(project)),
            uid: existing.map(|claim| claim.uid.clone()),
            resource_version: existing.map(|claim| claim.version.clone()),
            labels: Some(BTreeMap::from([(
                labels::MANAGED_BY.to_owned(),
                FIELD_MANAGER.to_owned(),
            )])),
            annotations: Some(BTreeMap::from([(
                annotations::PROJECT_ID.to_owned(),
                project.to_string(),
            )])),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(format!("{tenant}/{uid}")),
            ..LeaseSpec::default()
        }),
    }
}

/// The claim that a Lease represents. `None` if the Lease names no Tenant.
pub(super) fn parse(project: &ProjectId, lease: Lease) -> Option<ProjectClaim> {
    let identity = lease.spec?.holder_identity?;
    let mut parts = identity.splitn(3, '/');
    let tenant = NamespacedName {
        namespace: parts.next()?.into(),
        name: parts.next()?.into(),
    };
    Some(ProjectClaim {
        project: project.clone(),
        holder: ClaimHolder {
            tenant,
            uid: TenantUid::parse(parts.next()?)?,
        },
        uid: lease.metadata.uid?,
        version: lease.metadata.resource_version?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_survives_the_form_of_a_lease() {
        let project: ProjectId = "quiet-river-12345678".parse().unwrap();
        let holder = ClaimHolder {
            tenant: NamespacedName {
                namespace: "acme".into(),
                name: "main.eu".into(),
            },
            uid: TenantUid::parse("0a1b2c3d-0000-4000-8000-000000000001").unwrap(),
        };
        let claim = ProjectClaim {
            project: project.clone(),
            holder: holder.clone(),
            uid: "lease".to_owned(),
            version: "7".to_owned(),
        };
        let lease = lease(&project, &holder, Some(&claim));
        assert_eq!(parse(&project, lease), Some(claim));
    }

    #[test]
    fn a_lease_without_a_tenant_is_no_claim() {
        let project: ProjectId = "quiet-river-12345678".parse().unwrap();
        assert_eq!(parse(&project, Lease::default()), None);
    }
}
