//! Gathers the observed state from the caches and the account's last listing, without any API call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crds::{Reason, TenantClass, finalizers};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use neon_client::ids::ProjectId;
use sha2::{Digest, Sha256};

use crate::accounts::ObservedListing;
use crate::cache::{CachedTenant, ObservedSecret, record_is_own};
use crate::context::Context;
use crate::identity::{ProjectMark, TenantKey};
use crate::issue::{Component, Issue};
use crate::schema_assignment::{AssignmentInput, PlaceInput, SchemaTarget, assign};
use crate::tenant::annotations::TenantAnnotations;
use crate::tenant::desired::{deletion_protected, secret_name};
use crate::tenant::intent::class_not_found;
use crate::tenant::observed::{Holder, ObservedState};
use crate::tenant::ownership::holders;
use crate::tenant::reconciliation::Reconciliation;

/// Bytes of the certificates' digest; enough to detect a change.
const CA_DIGEST_BYTES: usize = 16;

/// Starts a reconciliation of the Tenant's latest known version. `None` if the Tenant is gone, has
/// no valid UID, or is of a class of another controller.
pub fn begin<'a>(ctx: &'a Context, cached: &CachedTenant) -> Option<Reconciliation<'a>> {
    let uid = cached.uid()?;
    // Another controller reconciles the Tenant.
    if ctx
        .class(cached.class_name())
        .is_some_and(|class| !ctx.serves(&class))
    {
        return None;
    }
    // `cached` may be outdated or removed from the store by now, so read the store again.
    let latest = || {
        ctx.tenant(cached)
            .map_or_else(|| cached.decompress(), |tenant| tenant.decompress())
    };
    let tenant = ctx.own_writes.newest(uid, latest)?;
    Some(Reconciliation::new(ctx, uid, tenant))
}

/// The observed state at this point of the reconciliation.
pub fn observe(rec: &Reconciliation<'_>) -> ObservedState {
    let (ctx, tenant) = (rec.ctx, &rec.tenant);
    let mark = ProjectMark {
        installation: ctx.installation.clone(),
        tenant: rec.uid,
        key: TenantKey::new(&rec.key.namespace, &rec.key.name),
    };
    let desired = rec.intent.desired();
    let label = desired.map_or("", |desired| desired.label.as_str());
    let secret_name = desired.map_or_else(
        || secret_name(&rec.key.name, &tenant.spec),
        |desired| desired.secret_name.clone(),
    );
    let secret = rec.observed_secret(&secret_name);
    let noted = TenantAnnotations::read(tenant.annotations());
    let adopted = desired
        .and_then(|desired| desired.adopt.as_ref())
        .map(|adopt| adopt.project.clone());
    let named_project = match (&rec.status.project, &adopted) {
        (None, None) => named_project(&noted, &secret),
        _ => None,
    };
    let project = rec.project().or(adopted).or_else(|| named_project.clone());
    let listing = match &rec.account {
        Some(account) => account.listing_for(rec.uid, &mark.key, project.as_ref()),
        None => ObservedListing::default(),
    };
    let now = ctx.clock.now();
    ObservedState {
        now,
        created_at: created_at(rec),
        status: rec.status.clone(),
        has_finalizer: tenant
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == finalizers::PROJECT),
        class_has_finalizer: rec.state.class_has_finalizer
            || rec.class.as_deref().is_some_and(has_class_finalizer),
        suspended: tenant.spec.suspend,
        deletion_protected: deletion_protected(
            &tenant.spec,
            rec.class.as_deref().map(|class| &class.spec),
        ),
        deletion_held: rec
            .deletion_request()
            .and_then(|request| ctx.deletion_holds.held(&tenant.spec.class_name, request)),
        orphan: noted.orphan,
        delete_duplicate: noted.delete_duplicate,
        reconcile_at: noted.reconcile_at,
        account: observed_account(rec),
        project_name: mark.project_name(label),
        annotated_project: noted.project,
        named_project,
        ignored_projects: noted.ignored_projects,
        adoptable: adoptable_projects(rec),
        holders: other_holders(rec, &mark, &listing, project.as_ref()),
        claim: rec.state.claim.clone(),
        mark,
        listing,
        compute: rec.state.compute.clone(),
        inspection_due: ctx.inspections.is_due(rec.uid)
            || ctx.unapplied_settings.is_due(rec.uid, now),
        settings_sent: rec
            .state
            .settings_sent
            .clone()
            .or_else(|| ctx.unapplied_settings.current(rec.uid, now)),
        project_found: rec.state.project_found,
        deleted: rec.state.deleted.clone(),
        secret,
        secret_differs: rec.state.secret_differs,
        secret_repair_at: ctx.secret_repairs.next_at(rec.uid, now),
        password_rejected: rec.state.password_rejected,
        ca_digest: rec
            .class
            .as_ref()
            .and_then(|class| class.spec.neon.ca_bundle.as_deref())
            .map(ca_digest),
        used_at: noted.used_at,
        schema: schema_target(rec),
    }
}

/// A time at which the Tenant certainly existed. The API server records whole seconds, and its clock can
/// be ahead. A listing of this reconciliation is recent enough in any case.
fn created_at(rec: &Reconciliation<'_>) -> Timestamp {
    let recorded = rec.tenant.metadata.creation_timestamp.as_ref();
    recorded.map_or(rec.began_at, |time| {
        (time.0 + SignedDuration::from_secs(1)).min(rec.began_at)
    })
}

/// A class that is being deleted accepts no new finalizer, so it counts as having one.
fn has_class_finalizer(class: &TenantClass) -> bool {
    class.metadata.deletion_timestamp.is_some()
        || class
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == finalizers::IN_USE)
}

fn observed_account(rec: &Reconciliation<'_>) -> Result<(), Issue> {
    let class_name = &rec.tenant.spec.class_name;
    if rec.class.is_none() {
        return Err(class_not_found(class_name));
    }
    match (&rec.account, rec.ctx.accounts.for_class(class_name)) {
        (Some(account), _) => account
            .owner_mismatch(rec.bound_account())
            .map_or(Ok(()), Err),
        (None, Some(Err(issue))) => Err(issue),
        (None, _) => Err(class_not_loaded(Component::Project, class_name)),
    }
}

fn schema_target(rec: &Reconciliation<'_>) -> Result<SchemaTarget, Issue> {
    let class_name = &rec.tenant.spec.class_name;
    match (
        &rec.migrations,
        rec.ctx.migration_sources.for_class(class_name),
    ) {
        (Some(content), _) => Ok(assign(
            content,
            &rec.ctx.rollouts.of_class(class_name),
            assignment_input(rec),
        )),
        (None, Some(Err(issue))) => Err(issue),
        (None, _) => Err(class_not_loaded(Component::Schema, class_name)),
    }
}

fn assignment_input<'a>(rec: &'a Reconciliation<'_>) -> AssignmentInput<'a> {
    let meta = &rec.tenant.metadata;
    let project = rec.status.project.as_ref();
    let project = project.map(|project| project.id.as_str());
    let recorded = rec.status.schema.as_ref();
    AssignmentInput {
        uid: rec.uid,
        namespace: &rec.key.namespace,
        name: &rec.key.name,
        place: PlaceInput {
            order: rec.uid.hash_order(),
            created_at: meta.creation_timestamp.as_ref().map(|time| time.0),
            labels: meta.labels.as_ref(),
        },
        recorded: recorded.filter(|schema| schema.project_id.as_deref() == project),
        now: rec.ctx.clock.now(),
    }
}

fn class_not_loaded(component: Component, class: &str) -> Issue {
    Issue::new(
        component,
        Reason::Waiting,
        format!("TenantClass {class} has not been read yet"),
    )
}

/// The project that a Tenant without a status has in its annotation or, after a restore, in its
/// Secret.
fn named_project(noted: &TenantAnnotations, secret: &ObservedSecret) -> Option<ProjectId> {
    let restored = match secret {
        ObservedSecret::Restored { project } => project.clone(),
        _ => None,
    };
    noted.project.clone().or(restored)
}

fn adoptable_projects(rec: &Reconciliation<'_>) -> BTreeSet<ProjectId> {
    let Some(class) = &rec.class else {
        return BTreeSet::new();
    };
    let (namespace, name) = (&rec.key.namespace, &rec.key.name);
    class
        .spec
        .adoption
        .allowed
        .iter()
        .filter(|allowed| allowed.allows(namespace, name))
        .filter_map(|allowed| allowed.project_id.parse().ok())
        .collect()
}

/// The other Tenants that have a project that this Tenant names or could take back. A Tenant whose
/// own project is recorded in its status needs no comparison with all others.
fn other_holders(
    rec: &Reconciliation<'_>,
    mark: &ProjectMark,
    listing: &ObservedListing,
    project: Option<&ProjectId>,
) -> BTreeMap<ProjectId, Holder> {
    let recorded = rec.status.project.as_ref();
    if recorded
        .is_some_and(|recorded| !recorded.adopted && record_is_own(recorded, mark.tenant, None))
    {
        return BTreeMap::new();
    }
    let listed = listing.own.as_ref();
    let named = project.map(|id| {
        let mark = listed.and_then(|listed| ProjectMark::parse(&listed.name));
        (id.clone(), mark)
    });
    let namesakes = listing.namesakes.iter().filter(|_| recorded.is_none());
    let projects = namesakes
        .map(|listed| (listed.id.clone(), ProjectMark::parse(&listed.name)))
        .chain(named)
        .collect();
    holders(&projects, mark, rec.ctx.all_tenants())
}

fn ca_digest(pem: &str) -> String {
    Sha256::digest(pem.as_bytes())
        .iter()
        .take(CA_DIGEST_BYTES)
        .fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
