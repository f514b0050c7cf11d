//! Gathering the facts: from the caches and the account's last listing, so that looking is free.

use std::sync::Arc;

use crds::{Reason, Tenant, TenantClass, annotations, finalizers};
use jiff::Timestamp;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use crate::cache::{Key, PackedTenant};
use crate::context::Context;
use crate::identity::{TenantUid, project_name};
use crate::tenant::desired::{Refusal, TenantName, deletion_policy, secret_name, validate};
use crate::tenant::observed::{AccountFacts, Facts, ListingFacts, Schema, SchemaTarget};
use crate::tenant::plan::Goal;
use crate::tenant::reconciliation::{Hand, Pass};

/// Begins a pass over the Tenant as it is now known. `None` if the API server gave it no UID, which it never does.
pub fn begin<'a>(ctx: &'a Context, packed: &PackedTenant) -> Option<Pass<'a>> {
    let uid = TenantUid::parse(&packed.uid()?)?;
    // The loop may have taken the Tenant out of its store a moment ago: the store is asked again.
    let cached = || {
        ctx.tenant(packed)
            .map_or_else(|| packed.unpack(), |tenant| tenant.unpack())
    };
    let tenant = ctx.recent.newest(uid, cached)?;
    let class = ctx.class(&tenant.spec.class_name);
    let schema = ctx
        .schemas
        .of_class(&tenant.spec.class_name)
        .and_then(Result::ok);
    let account = ctx
        .accounts
        .of_class(&tenant.spec.class_name)
        .and_then(Result::ok);
    let status = tenant.status.clone().unwrap_or_default();
    let mut pass = Pass {
        ctx,
        key: Key::of(&tenant),
        uid,
        status,
        account,
        schema,
        goal: Goal::Live(Err(Refusal {
            reason: Reason::Waiting,
            message: String::new(),
        })),
        hand: Hand::default(),
        class,
        tenant,
    };
    pass.goal = goal(&pass);
    Some(pass)
}

/// What is to become of the Tenant, by its spec, its class and what is settled already.
pub fn goal(pass: &Pass<'_>) -> Goal {
    let (spec, class, status) = (&pass.tenant.spec, pass.class.as_deref(), &pass.status);
    if pass.deleting() {
        let in_effect = status
            .effective
            .as_ref()
            .map(|effective| effective.deletion_policy);
        return Goal::Go(deletion_policy(
            spec,
            class.map(|class| &class.spec),
            in_effect,
        ));
    }
    let Some(class) = class else {
        return Goal::Live(Err(class_missing(&spec.class_name)));
    };
    if class.metadata.deletion_timestamp.is_some()
        && status.project.is_none()
        && status.creation.is_none()
    {
        return Goal::Live(Err(Refusal {
            reason: Reason::ClassTerminating,
            message: format!(
                "TenantClass {} is being deleted and takes no new Tenants",
                spec.class_name
            ),
        }));
    }
    let name = TenantName {
        namespace: &pass.key.namespace,
        name: &pass.key.name,
    };
    let settled = status.project.as_ref().and(status.effective.as_ref());
    Goal::Live(validate(name, spec, &class.spec, settled))
}

fn class_missing(name: &str) -> Refusal {
    Refusal {
        reason: Reason::ClassNotFound,
        message: format!(
            "there is no TenantClass {name}: apply one, or make a Tenant that names another"
        ),
    }
}

/// Everything the plan may depend on, as it is at this moment of the pass.
pub fn observe(pass: &Pass<'_>) -> Facts {
    let (ctx, tenant, status) = (pass.ctx, &pass.tenant, &pass.status);
    let class_name = &tenant.spec.class_name;
    let project = pass.project();
    let listing = match &pass.account {
        Some(account) => account.facts(pass.uid, project.as_ref()),
        None => ListingFacts::default(),
    };
    let (label, name, secret) = match &pass.goal {
        Goal::Live(Ok(wish)) => (
            wish.label.clone(),
            wish.adopt.clone(),
            wish.secret_name.clone(),
        ),
        _ => (
            String::new(),
            None,
            secret_name(&pass.key.name, &tenant.spec),
        ),
    };
    let taken_by = match (&name, &project) {
        (Some(adopt), None) => holder_of(ctx, adopt.project.as_str(), tenant),
        _ => None,
    };
    Facts {
        now: Timestamp::now(),
        status: status.clone(),
        has_finalizer: tenant
            .finalizers()
            .iter()
            .any(|one| one == finalizers::PROJECT),
        suspended: tenant.spec.suspend,
        abandon: tenant
            .annotations()
            .get(annotations::ORPHAN)
            .is_some_and(|value| value == "true"),
        reconcile_at: tenant.annotations().get(annotations::RECONCILE_AT).cloned(),
        class_guarded: pass.hand.class_guarded || pass.class.as_deref().is_some_and(is_guarded),
        account: account_facts(pass),
        project_name: project_name(&label, &ctx.installation, pass.uid),
        listing,
        endpoint: pass.hand.endpoint.clone(),
        confirmed: pass.hand.confirmed,
        deleted: pass.hand.deleted.clone(),
        taken_by,
        secret: pass.secret_facts(&secret),
        password_rejected: pass.hand.password_rejected,
        ca_digest: pass
            .class
            .as_ref()
            .and_then(|class| class.spec.neon.ca_bundle.as_deref())
            .map(ca_digest),
        schema: match (&pass.schema, ctx.schemas.of_class(class_name)) {
            (Some(set), _) => Schema::Target(SchemaTarget {
                version: set.target_version(),
                digest: set.digest().to_owned(),
            }),
            (None, Some(Err(refusal))) => Schema::Unusable(refusal),
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

fn account_facts(pass: &Pass<'_>) -> AccountFacts {
    let class_name = &pass.tenant.spec.class_name;
    if pass.class.is_none() {
        return AccountFacts::Unusable(class_missing(class_name));
    }
    match (&pass.account, pass.ctx.accounts.of_class(class_name)) {
        (Some(_), _) => AccountFacts::Usable,
        (None, Some(Err(refusal))) => AccountFacts::Unusable(refusal),
        (None, _) => AccountFacts::Unusable(not_read_yet(class_name)),
    }
}

fn not_read_yet(class: &str) -> Refusal {
    Refusal {
        reason: Reason::Waiting,
        message: format!("TenantClass {class} is being looked at"),
    }
}

/// Another Tenant that has the project, or that asked for it first.
fn holder_of(ctx: &Context, project: &str, asking: &Tenant) -> Option<String> {
    let rank = |tenant: &Tenant| (tenant.creation_timestamp().map(|time| time.0), tenant.uid());
    ctx.all_tenants()
        .filter(|packed| packed.uid().as_deref() != asking.metadata.uid.as_deref())
        .filter_map(|packed| packed.unpack())
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
pub fn tenants_of(ctx: &Context, class: &str) -> Vec<Arc<PackedTenant>> {
    ctx.all_tenants()
        .filter(|packed| packed.class_name() == class)
        .collect()
}
