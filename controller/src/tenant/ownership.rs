//! Which Tenant a project belongs to. Pure.
//!
//! A project belongs to the Tenant whose UID its name contains, or that recorded or adopted it. A
//! backup can restore a Tenant with another UID, and a user can copy a Tenant with its status and
//! annotations. Such a Tenant names a project that the controller never gave to it. It may have the
//! project only if no other Tenant has it, and if the project was created for a Tenant of the same
//! installation, namespace and name, or the class allows the adoption.

use std::collections::BTreeMap;

use crds::{ProjectStatus, Reason};
use neon_client::ids::ProjectId;

use crate::accounts::ObservedProject;
use crate::cache::{CachedTenant, NamespacedName, record_is_own};
use crate::identity::{ProjectMark, TenantKey, TenantUid};
use crate::issue::{Component, Issue};
use crate::tenant::observed::{Holder, ObservedClaim, ObservedState};

/// Whether the Tenant may use the project that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    Own,
    /// The project belongs to another Tenant, or the Tenant has no right to it.
    Refused(Issue),
    /// The account has to be listed first.
    Unlisted,
    /// The project's claim has to be read first.
    Unclaimed,
}

/// For each of `projects`, another Tenant that has it.
pub fn holders(
    projects: &BTreeMap<ProjectId, Option<ProjectMark>>,
    own: &ProjectMark,
    others: impl IntoIterator<Item = impl AsRef<CachedTenant>>,
) -> BTreeMap<ProjectId, Holder> {
    let mut holders: BTreeMap<ProjectId, Holder> = BTreeMap::new();
    if projects.is_empty() {
        return holders;
    }
    for other in others {
        let other = other.as_ref();
        let Some(uid) = other.uid().filter(|uid| *uid != own.tenant) else {
            continue;
        };
        for (id, mark) in projects {
            let mark = mark
                .as_ref()
                .filter(|mark| mark.installation == own.installation);
            let Some(adopted) = holds(other, uid, id.as_str(), mark) else {
                continue;
            };
            let holder = Holder {
                tenant: NamespacedName::of(other).to_string(),
                adopted,
            };
            // A Tenant that the project was created for takes precedence.
            if holders.get(id).is_none_or(|found| found.adopted) {
                holders.insert(id.clone(), holder);
            }
        }
    }
    holders
}

/// Whether a Tenant has the project, and whether it adopted it. `None` if it does not have it.
fn holds(
    tenant: &CachedTenant,
    uid: TenantUid,
    project: &str,
    mark: Option<&ProjectMark>,
) -> Option<bool> {
    let recorded = tenant.recorded_project();
    if recorded == Some(project) && tenant.record_is_own() {
        return Some(tenant.adopted_project() == Some(project));
    }
    if recorded.is_some_and(|recorded| recorded != project) || tenant.adopted_project().is_some() {
        return None;
    }
    // The Tenant has lost its status, or was restored from a backup.
    let mark = mark?;
    let name = NamespacedName::of(tenant);
    let names_it = recorded.or(tenant.annotated_project()) == Some(project);
    let restored = names_it && mark.key == TenantKey::new(&name.namespace, &name.name);
    (mark.tenant == uid || restored).then_some(false)
}

/// Whether the project in the status belongs to the Tenant.
pub fn recorded_ownership(
    observed: &ObservedState,
    project: &ProjectStatus,
    id: &ProjectId,
) -> Ownership {
    if project.adopted {
        return adopted_ownership(observed, id);
    }
    if record_is_own(project, observed.mark.tenant, None) {
        return Ownership::Own;
    }
    if observed.listing.as_of.is_none() {
        return Ownership::Unlisted;
    }
    let current = match &observed.listing.own {
        Some(listed) => ProjectMark::parse(&listed.name),
        None => ProjectMark::parse(&project.name),
    };
    match ownership_issue(observed, id, current.as_ref()) {
        Some(issue) => Ownership::Refused(issue),
        None => Ownership::Own,
    }
}

fn adopted_ownership(observed: &ObservedState, id: &ProjectId) -> Ownership {
    if !observed.adoptable.contains(id) {
        return Ownership::Refused(not_allowed(id));
    }
    match (observed.holders.get(id), &observed.claim) {
        (None, _) | (Some(Holder { adopted: true, .. }), Some(ObservedClaim::Own)) => {
            Ownership::Own
        }
        (Some(Holder { adopted: true, .. }), None) => Ownership::Unclaimed,
        (Some(_), Some(ObservedClaim::Other(tenant))) => Ownership::Refused(in_use(id, tenant)),
        (Some(holder), _) => Ownership::Refused(in_use(id, &holder.tenant)),
    }
}

/// Why the Tenant may not take the project; `None` if it may. `mark` is the mark in the project's
/// name.
pub fn ownership_issue(
    observed: &ObservedState,
    id: &ProjectId,
    mark: Option<&ProjectMark>,
) -> Option<Issue> {
    if let Some(ObservedClaim::Other(tenant)) = &observed.claim {
        return Some(in_use(id, tenant));
    }
    if let Some(holder) = observed.holders.get(id) {
        return Some(in_use(id, &holder.tenant));
    }
    if observed.adoptable.contains(id) {
        return None;
    }
    let own = &observed.mark;
    match mark {
        Some(mark) if mark.installation != own.installation => Some(Issue::new(
            Component::Project,
            Reason::ProjectInUse,
            format!(
                "project {id} belongs to installation {}, whose Tenants may still use it: if this cluster replaces that \
                 installation, set the controller's installation-id to {0}; {NEW_DATABASE}",
                mark.installation
            ),
        )),
        Some(mark) if mark.tenant == own.tenant || mark.key == own.key => None,
        Some(mark) => Some(Issue::new(
            Component::Project,
            Reason::AdoptionRefused,
            format!(
                "project {id} was created for Tenant {}: to move it to this Tenant, ask an administrator to add it to \
                 spec.adoption.allowed of the class; {NEW_DATABASE}",
                mark.key
            ),
        )),
        None => Some(not_allowed(id)),
    }
}

/// The projects of earlier Tenants of the same namespace and name, unless another Tenant has them
/// or the Tenant ignores them.
pub fn unowned_namesakes(observed: &ObservedState) -> Vec<&ObservedProject> {
    let available = |project: &&ObservedProject| {
        !observed.holders.contains_key(&project.id)
            && !observed.ignored_projects.contains(&project.id)
    };
    let mut found: Vec<_> = observed
        .listing
        .namesakes
        .iter()
        .filter(available)
        .collect();
    found.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    found
}

const NEW_DATABASE: &str = "to get a new database instead, delete this Tenant, which does not affect the project, and \
                            apply it without the annotation dbpertenant.dev/project-id";

fn in_use(id: &ProjectId, tenant: &str) -> Issue {
    Issue::new(
        Component::Project,
        Reason::ProjectInUse,
        format!(
            "project {id} belongs to Tenant {tenant}, and a project can belong to only one Tenant: {NEW_DATABASE}"
        ),
    )
}

fn not_allowed(id: &ProjectId) -> Issue {
    Issue::new(
        Component::Project,
        Reason::AdoptionRefused,
        format!(
            "project {id} was not created for this Tenant: ask an administrator to add it to spec.adoption.allowed of the \
             class; {NEW_DATABASE}"
        ),
    )
}
