//! The `SchemaRollout` kind: brings each change of a class's migrations to the class's Tenants, a
//! canary first and then wave after wave.
//!
//! A Tenant's own reconciliation determines its target schema, from the objects alone
//! ([`schema_assignment`](crate::schema_assignment)), and migrates its database. A rollout's
//! reconciliation only counts, moves the rollout's reach, and pauses it:
//!
//! 1. [`observe`] gathers the class's migrations, its rollouts and its Tenants from caches.
//! 2. [`desired`] builds the rollout of changed migrations.
//! 3. [`waves`] determines how far a rollout may reach, and [`status`] what it reports.
//! 4. [`plan`] chooses the next step.
//! 5. [`apply`] executes it.
//!
//! All but [`observe`], [`apply`] and [`reconcile`] are pure. One reconciliation handles all
//! rollouts of a class. While a rollout is active, it takes time in proportion to the Tenants of the
//! class, and happens at most four times per second.

pub mod apply;
pub mod desired;
pub mod observe;
pub mod plan;
pub mod reconcile;
pub mod status;
pub mod waves;

#[cfg(test)]
mod tests;
