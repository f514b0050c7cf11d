//! ListingBuilder the facts: from the caches and the account's last listing, so that looking is free.

use std::sync::Arc;

use crds::{Reason, Tenant, TenantClass, annotations, finalizers};
use jiff::Timestamp;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use crate::cache::{NamespacedName, CachedTenant};
use crate::context::Context;
use crate::identity::{TenantUid, project_name};
use crate::tenant::desired::{Issue, TenantName, deletion_policy, secret_name, validate};
use crate::tenant::observed::{ObservedAccount, ObservedState, ObservedListing, Schema, SchemaTarget};
use crate::tenant::plan::Intent;
use crate::tenant::reconciliation::{ReconcileState, Reconciliation};

/// Begins a pass over the Tenant as it is now known. `None` if the API server gave it no UID, which it never does.
pub fn begin<'a>(ctx: &'a Context, packed: &CachedTenant) -> Option<Reconciliation<'a>> {
    let uid = TenantUid::parse(&packed.uid()?)?;
    // The loop may have taken the Tenant out of its store a moment ago: the store is asked again.
    let cached = || {
        ctx.tenant(packed)
            .map_or_else(|| packed.decompress(), |tenant| tenant.decompress())
    };
    let tenant = ctx.own_writes.newest(uid, cached)?;
    let class = ctx.class(&tenant.spec.class_name);
    let schema = ctx
        .migration_sources
        .for_class(&tenant.spec.class_name)
        .and_then(Result::ok);
    let account = ctx
        .accounts
        .for_class(&tenant.spec.class_name)
        .and_then(Result::ok);
    let status = tenant.status.clone().unwrap_or_default();
    let mut rec = Reconciliation {
        ctx,
        key: NamespacedName::of(&tenant),
        uid,
        status,
        account,
        schema,
        intent: Intent::Provision(Err(Issue {
            reason: Reason::Waiting,
            message: String::new(),
        })),
        state: ReconcileState::default(),
        class,
        tenant,
    };
    rec.intent = intent(&rec);
    Some(rec)
}

/// What is to become of the Tenant, by its spec, its class and what is settled already.
pub fn intent(rec: &Reconciliation<'_>) -> Intent {
    let (spec, class, status) = (&rec.tenant.spec, rec.class.as_deref(), &rec.status);
    if rec.deleting() {
        let in_effect = status
            .effective
            .as_ref()
            .map(|effective| effective.deletion_policy);
        return Intent::Delete(deletion_policy(
            spec,
            class.map(|class| &class.spec),
            in_effect,
        ));
    }
    let Some(class) = class else {
        return Intent::Provision(Err(class_missing(&spec.class_name)));
    };
    if class.metadata.deletion_timestamp.is_some()
        && status.project.is_none()
        && status.creation.is_none()
    {
        return Intent::Provision(Err(Issue {
            reason: Reason::ClassTerminating,
            message: format!(
                "TenantClass {} is being deleted and takes no new Tenants",
                spec.class_name
            ),
        }));
    }
    let name = TenantName {
        namespace: &rec.key.namespace,
        name: &rec.key.name,
    };
    let settled = status.project.as_ref().and(status.effective.as_ref());
    Intent::Provision(validate(name, spec, &class.spec, settled))
}

fn class_missing(name: &str) -> Issue {
    Issue {
        reason: Reason::ClassNotFound,
        message: format!(
            "there is no TenantClass {name}: apply one, or make a Tenant that names another"
        ),
    }
}

/// Everything the plan may depend on, as it is at this moment of the pass.
pub fn observe(rec: &Reconciliation<'_>) -> ObservedState {
    let (ctx, tenant, status) = (rec.ctx, &rec.tenant, &rec.status);
    let class_name = &tenant.spec.class_name;
    let project = rec.project();
    let listing = match &rec.account {
        Some(account) => account.listing(rec.uid, project.as_ref()),
        None => ObservedListing::default(),
    };
    let (label, name, secret) = match &rec.intent {
        Intent::Provision(Ok(desired)) => (
            desired.label.clone(),
            desired.adopt.clone(),
            desired.secret_name.clone(),
        ),
        _ => (
            String::new(),
            None,
            secret_name(&rec.key.name, &tenant.spec),
        ),
    };
    let taken_by = match (&name, &project) {
        (Some(adopt), None) => holder_of(ctx, adopt.project.as_str(), tenant),
        _ => None,
    };
    ObservedState {
        now: Timestamp::now(),
        status: status.clone(),
        has_finalizer: tenant
            .finalizers()
            .iter()
            .any(|one| one == finalizers::PROJECT),
        suspended: tenant.spec.suspend,
        orphan: tenant
            .annotations()
            .get(annotations::ORPHAN)
            .is_some_and(|value| value == "true"),
        reconcile_at: tenant.annotations().get(annotations::RECONCILE_AT).cloned(),
        class_has_finalizer: rec.state.class_has_finalizer || rec.class.as_deref().is_some_and(is_guarded),
        account: observed_account(rec),
        project_name: project_name(&label, &ctx.installation, rec.uid),
        listing,
        endpoint: rec.state.endpoint.clone(),
        project_found: rec.state.project_found,
        deleted: rec.state.deleted.clone(),
        taken_by,
        secret: rec.observed_secret(&secret),
        password_rejected: rec.state.password_rejected,
        ca_digest: rec
            .class
            .as_ref()
            .and_then(|class| class.spec.neon.ca_bundle.as_deref())
            .map(ca_digest),
        schema: match (&rec.schema, ctx.migration_sources.for_class(class_name)) {
            (Some(set), _) => Schema::Target(SchemaTarget {
                version: set.target_version(),
                digest: set.digest().to_owned(),
            }),
            (None, Some(Err(issue))) => Schema::Unusable(issue),
            (None, _) => Schema::Unusable(not_read_yet(class_name)),
        },
    }
}

/// Whether the class is marked as in use. One on its way out cannot be marked any more.
fn is_guarded(class: &TenantClass) -> bool {
    class.metadata.deletion_timestamp.is_some()
        || class
            .finalizers()
            .iter()
            .any(|one| one == finalizers::IN_USE)
}

fn observed_account(rec: &Reconciliation<'_>) -> ObservedAccount {
    let class_name = &rec.tenant.spec.class_name;
    if rec.class.is_none() {
        return ObservedAccount::Unusable(class_missing(class_name));
    }
    match (&rec.account, rec.ctx.accounts.for_class(class_name)) {
        (Some(_), _) => ObservedAccount::Usable,
        (None, Some(Err(issue))) => ObservedAccount::Unusable(issue),
        (None, _) => ObservedAccount::Unusable(not_read_yet(class_name)),
    }
}

fn not_read_yet(class: &str) -> Issue {
    Issue {
        reason: Reason::Waiting,
        message: format!("TenantClass {class} is being looked at"),
    }
}

/// Another Tenant that has the project, or that asked for it first.
fn holder_of(ctx: &Context, project: &str, asking: &Tenant) -> Option<String> {
    let rank = |tenant: &Tenant| (tenant.creation_timestamp().map(|time| time.0), tenant.uid());
    ctx.all_tenants()
        .filter(|packed| packed.uid().as_deref() != asking.metadata.uid.as_deref())
        .filter_map(|packed| packed.decompress())
        .find(|other| {
            let has = other
                .status
                .as_ref()
                .and_then(|status| status.project.as_ref())
                .is_some_and(|p| p.id == project);
            let asks = other
                .spec
                .adopt
                .as_ref()
                .is_some_and(|adopt| adopt.project_id == project);
            has || asks && other.metadata.deletion_timestamp.is_none() && rank(other) < rank(asking)
        })
        .map(|other| {
            format!(
                "{}/{}",
                other.namespace().unwrap_or_default(),
                other.name_any()
            )
        })
}

/// Sixteen bytes of a hash, enough to see that certificates are others than before.
fn ca_digest(pem: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(pem.as_bytes())
        .iter()
        .take(16)
        .fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// The Tenants of a class.
pub fn tenants_of(ctx: &Context, class: &str) -> Vec<Arc<CachedTenant>> {
    ctx.all_tenants()
        .filter(|packed| packed.class_name() == class)
        .collect()
}
