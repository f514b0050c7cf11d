//! The `TenantClass` kind: reads each class's API key and migrations, and reports the state of its account.

mod reconcile;

pub use reconcile::{Classes, load, reconcile};
