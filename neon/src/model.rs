//! The wire format: resources, requests and envelopes.
//!
//! Every type is read and written, because the emulator speaks the same language from the other side. Reading is tolerant: unknown
//! fields are ignored, unknown words of an enumeration are kept, and only what the client cannot do without is required.
//! Passwords, and URIs that hold one, are [`secrecy::SecretString`]: `Debug` does not show them, and only serialization, which
//! is how they reach the wire, writes them out. Never log a serialized value of these types.

mod branch;
mod compute_units;
mod connection;
mod endpoint;
mod envelope;
mod error_body;
mod nulls;
mod operation;
mod project;
mod request;
mod role;
mod secret;
mod settings;
mod words;

pub use branch::{Branch, BranchState};
pub use compute_units::{ComputeUnits, ComputeUnitsError};
pub use connection::{ConnectionDetails, ConnectionParameters, ConnectionUri};
pub use endpoint::{Endpoint, EndpointState, EndpointType, PoolerMode};
pub use envelope::{
    CreatedProject, EndpointEnvelope, EndpointList, OperationEnvelope, OperationPage, Pagination,
    ProjectEnvelope, ProjectPage, RecoveredProject, ResetPassword, RevealedPassword,
    UpdatedEndpoint, UpdatedProject,
};
pub use error_body::ErrorBody;
pub use operation::{Operation, OperationAction, OperationStatus};
pub use project::{Project, ProjectOwner};
pub use request::{
    CreateBranch, CreateProject, PROJECT_NAME_CHARS_MAX, UpdateEndpoint, UpdateProject,
};
pub use role::{Database, Role};
pub use settings::{
    AllowedIps, DefaultEndpointSettings, EndpointSettings, MaintenanceWindow, PreloadLibraries,
    ProjectSettings, Quota,
};
