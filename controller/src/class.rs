//! The `TenantClass` kind: reads the API key and the migrations of each class, keeps a class while
//! Tenants use it, and reports the state of its account.
//!
//! The stages are the same as those of a [`Tenant`](crate::tenant): [`observe`] gathers the
//! observed state, [`plan`] decides about the finalizer, [`apply`] writes it, and [`status`] builds
//! the status. [`reconcile`] calls them in this order, and queues the Tenants of a class whose
//! [`fingerprint`] changed.

pub mod apply;
pub mod fingerprint;
pub mod observe;
pub mod plan;
pub mod plan_limits;
pub mod reconcile;
pub mod status;
