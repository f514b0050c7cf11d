//! The `Tenant` kind: each Tenant is reconciled into a Neon project.
//!
//! One reconciliation is a loop of five calls, and each has the file of its name: [`observe`] gathers the [`observed`]
//! state from caches and listings, [`desired`] resolves the spec and its class into a complete desired state, [`plan`]
//! chooses the next step, [`apply`] executes it, and [`status`] builds the status to report. `desired`, `plan` and
//! `status` are pure. [`reconcile`] is the loop.

pub mod apply;
pub mod desired;
pub mod observe;
pub mod observed;
pub mod plan;
pub mod reconcile;
pub mod reconciliation;
pub mod status;
