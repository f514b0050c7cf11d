//! Gathers the observed state from the caches and the account's last listing, without any API call.

use std::fmt::Write as _;

use crds::{Reason, Tenant, TenantClass, finalizers};
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use crate::accounts::ObservedListing;
use crate::cache::CachedTenant;
use crate::context::Context;
use crate::identity::{TenantUid, project_name};
use crate::issue::{Component, Issue};
use crate::tenant::annotations::TenantAnnotations;
use crate::tenant::desired::{deletion_protected, secret_name};
use crate::tenant::intent::class_not_found;
use crate::tenant::observed::{ObservedState, SchemaTarget};
use crate::tenant::reconciliation::Reconciliation;

/// Bytes of the certificates' digest; enough to detect a change.
const CA_DIGEST_BYTES: usize = 16;

/// Starts a reconciliation of the Tenant's latest known version. `None` if the Tenant is gone, has
/// no valid UID, or is of a class of another controller.
pub fn begin<'a>(ctx: &'a Context, cached: &CachedTenant) -> Option<Reconciliation<'a>> {
    let uid = TenantUid::parse(&cached.uid()?)?;
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
    let project = rec.project();
    let listing = match &rec.account {
        Some(account) => account.listing_for(rec.uid, project.as_ref()),
        None => ObservedListing::default(),
    };
    let desired = rec.intent.desired();
    let label = desired.map_or("", |desired| desired.label.as_str());
    let secret_name = desired.map_or_else(
        || secret_name(&rec.key.name, &tenant.spec),
        |desired| desired.secret_name.clone(),
    );
    let adopt = desired.and_then(|desired| desired.adopt.as_ref());
    let claimed_by = match (adopt, &project) {
        (Some(adopt), None) => other_claimant(ctx, adopt.project.as_str(), tenant),
        _ => None,
    };
    let noted = TenantAnnotations::read(tenant.annotations());
    ObservedState {
        now: ctx.clock.now(),
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
        project_name: project_name(label, &ctx.installation, rec.uid),
        listing,
        compute: rec.state.compute.clone(),
        project_found: rec.state.project_found,
        deleted: rec.state.deleted.clone(),
        claimed_by,
        secret: rec.observed_secret(&secret_name),
        secret_differs: rec.state.secret_differs,
        secret_repair_at: ctx.secret_repairs.next_at(rec.uid, ctx.clock.now()),
        password_rejected: rec.state.password_rejected,
        ca_digest: rec
            .class
            .as_ref()
            .and_then(|class| class.spec.neon.ca_bundle.as_deref())
            .map(ca_digest),
        schema: schema_target(rec),
    }
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
        (Some(migrations), _) => Ok(SchemaTarget {
            version: migrations.target_version(),
            digest: migrations.digest().to_owned(),
        }),
        (None, Some(Err(issue))) => Err(issue),
        (None, _) => Err(class_not_loaded(Component::Schema, class_name)),
    }
}

fn class_not_loaded(component: Component, class: &str) -> Issue {
    Issue::new(
        component,
        Reason::Waiting,
        format!("TenantClass {class} has not been read yet"),
    )
}

/// Another Tenant that has the project or, among Tenants that adopt it, was created earlier.
fn other_claimant(ctx: &Context, project: &str, tenant: &Tenant) -> Option<String> {
    let rank = |tenant: &Tenant| (tenant.creation_timestamp().map(|time| time.0), tenant.uid());
    ctx.all_tenants()
        .filter(|cached| cached.uid().as_deref() != tenant.metadata.uid.as_deref())
        .filter_map(|cached| cached.decompress())
        .find(|other| {
            let owns = other
                .status
                .as_ref()
                .and_then(|status| status.project.as_ref())
                .is_some_and(|owned| owned.id == project);
            let adopts = other
                .spec
                .adopt
                .as_ref()
                .is_some_and(|adopt| adopt.project_id == project);
            let deleting = other.metadata.deletion_timestamp.is_some();
            owns || adopts && !deleting && rank(other) < rank(tenant)
        })
        .map(|other| {
            format!(
                "{}/{}",
                other.namespace().unwrap_or_default(),
                other.name_any()
            )
        })
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
