//! The controller of db-per-tenant: watches Tenants and makes each a Neon project with its schema applied, its credentials in
//! a Secret and its connection details in the status.
//!
//! One pass over a Tenant is five calls, and the folder reads in their order: [`observe`] gathers the [`facts`] from caches
//! and listings; [`wish`] fills the spec up from its class and checks it; [`plan`] says what to do next; [`apply`] does it;
//! [`report`] says in the status where that leads. `wish`, `plan` and `report` are pure. [`reconcile`] strings the five
//! together, [`classes`] does the like for classes, and [`run`] feeds both from watches.

pub mod apply;
pub mod observe;
pub mod plan;
pub mod report;
pub mod wish;

pub mod facts;
pub mod failure;
pub mod identity;
mod listings;
pub mod pass;
pub mod reconcile;
mod watches;

pub mod accounts;
pub mod cache;
pub mod classes;
pub mod cluster;
pub mod context;
pub mod events;
pub mod schema;
pub mod schemas;

pub mod backoff;
pub mod config;
pub mod connect;
pub mod health;
pub mod lease;
pub mod run;
pub mod telemetry;
pub mod wake;
