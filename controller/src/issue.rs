//! Why an object is not ready, as its conditions report it. Pure: no I/O, no clock.

use crds::Reason;

/// A problem, or work that is still in progress, with one component of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issue {
    pub component: Component,
    /// Reason of the conditions.
    pub reason: Reason,
    /// What happened and what to do. Never contains a secret.
    pub message: String,
    /// Whether applications can read the database although the reason says that they cannot use it.
    pub readable: bool,
}

impl Issue {
    pub fn new(component: Component, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            component,
            reason,
            message: message.into(),
            readable: false,
        }
    }
}

/// The components of a Tenant, in the order in which they are created. Each has its own condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// The project, and what it needs first: the spec, the class and the Neon account.
    Project,
    Credentials,
    Schema,
}
