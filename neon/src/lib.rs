//! Typed client of the Neon management API, version 2.
//!
//! [`ids`] and [`model`] are the wire format: what the API sends and accepts, as values that were checked once when they
//! were read. Nothing here knows Kubernetes or SQL.

pub mod ids;
pub mod model;
