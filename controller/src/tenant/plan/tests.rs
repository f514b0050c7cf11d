//! Tests of the plan by tables and properties. Each case starts with an up-to-date or a new Tenant
//! and changes it.

mod adoption;
mod creation;
mod credentials;
mod deletion;
mod drift;
mod duplicates;
mod edits;
mod fixtures;
mod properties;
mod restores;
mod rollbacks;
