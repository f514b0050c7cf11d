//! The `SchemaRollout` kind: brings each new content of a class's migrations to the class's Tenants,
//! a canary first and then wave after wave.
//!
//! A Tenant's own reconciliation determines the schema that it is to have, from the objects alone
//! ([`schema_assignment`](crate::schema_assignment)), and migrates its database. A roll-out's
//! reconciliation only counts, moves the roll-out's reach, and pauses it:
//!
//! 1. [`observe`] gathers the class's migrations, its roll-outs and its Tenants from caches.
//! 2. [`desired`] builds the roll-out of a new content.
//! 3. [`waves`] determines how far a roll-out may reach, and [`status`] what it reports.
//! 4. [`plan`] chooses the next step.
//! 5. [`apply`] executes it.
//!
//! All but [`observe`], [`apply`] and [`reconcile`] are pure. One reconciliation handles all
//! roll-outs of a class. While a roll-out is active, it takes time in proportion to the Tenants of the
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
