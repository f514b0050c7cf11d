//! The plan by tables and properties. Every case begins with a Tenant at rest, or a new one, and says what is different.

mod adoption;
mod creation;
mod credentials;
mod deletion;
mod drift;
mod edits;
mod fixtures;
mod properties;
