//! Detects changes of a class that concern its Tenants.

use std::hash::{DefaultHasher, Hash, Hasher};

use crds::TenantClass;
use kube::ResourceExt;

use crate::context::Context;

/// A hash of everything about a class that its Tenants' plans depend on.
pub fn fingerprint(ctx: &Context, class: &TenantClass) -> u64 {
    let name = class.name_any();
    let mut hasher = DefaultHasher::new();
    let spec = serde_json::to_string(&class.spec).unwrap_or_default();
    let deleting = class.metadata.deletion_timestamp.is_some();
    let account = class
        .status
        .as_ref()
        .and_then(|status| status.account.as_ref());
    let account = account.map(|account| &account.id);
    (spec, deleting, &class.metadata.finalizers, account).hash(&mut hasher);
    // The account and the number of its key, or the issue with it.
    ctx.accounts
        .for_class(&name)
        .map(|account| account.map(|account| (account.id(), account.key_generation())))
        .hash(&mut hasher);
    ctx.migration_sources
        .for_class(&name)
        .map(|migrations| migrations.map(|set| set.digest().to_owned()))
        .hash(&mut hasher);
    hasher.finish()
}
