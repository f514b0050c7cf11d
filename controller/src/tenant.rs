//! The `Tenant` kind: each Tenant becomes a Neon project with a connection Secret and a migrated
//! schema.
//!
//! One reconciliation is a loop of five stages, each in the file of its name:
//!
//! 1. [`observe`] gathers the [`observed`] state from caches and listings, without API calls.
//! 2. [`intent`] and [`desired`] resolve the Tenant and its class into what the reconciliation
//!    works towards.
//! 3. [`plan`] compares the two and chooses the next step; [`ownership`] determines which Tenant a
//!    project belongs to, and [`drift`] finds the differences.
//! 4. [`apply`] executes the step.
//! 5. [`status`] builds the status to report.
//!
//! `annotations`, `intent`, `desired`, `ownership`, `drift`, `plan` and `status` are pure. [`reconcile`] is
//! the loop, and
//! [`reconciliation`] is its state.

pub mod annotations;
pub mod apply;
pub mod desired;
pub mod drift;
pub mod intent;
pub mod observe;
pub mod observed;
pub mod ownership;
pub mod plan;
pub mod reconcile;
pub mod reconciliation;
pub mod status;
