//! The wire format: resources, requests and envelopes.
//!
//! Every type is read and written, because the emulator speaks the same language from the other side. Reading is tolerant: unknown
//! fields are ignored, unknown words of an enumeration are kept, and only what the client cannot do without is required.
//! Passwords, and URIs that hold one, are [`secrecy::SecretString`]: `Debug` does not show them, and only serialization, which
//! is how they reach the wire, writes them out. Never log a serialized value of these types.

mod account;
mod answer;
mod branch;
mod compute_units;
mod connection;
mod consumption;
mod endpoint;
mod envelope;
mod error_body;
mod lsn;
mod nulls;
mod operation;
mod page;
mod project;
mod request;
mod role;
mod secret;
mod settings;
mod words;

pub use account::{CurrentUser, Organization, OrganizationList, Region, RegionList};
pub use answer::{
    BranchOperations, CreatedBranch, CreatedProject, DatabaseOperations, EndpointOperations,
    RecoveredProject, RevealedPassword, RoleOperations, UpdatedProject,
};
pub use branch::{Branch, BranchRecovery, BranchState};
pub use compute_units::{ComputeUnits, ComputeUnitsError};
pub use connection::{ConnectionDetails, ConnectionParameters, ConnectionUri};
pub use consumption::{
    BranchConsumption, BranchConsumptionPage, ConsumptionPeriod, ConsumptionTimeframe, Granularity,
    Metric, MetricValue, ProjectConsumption, ProjectConsumptionPage,
};
pub use endpoint::{Endpoint, EndpointState, EndpointType, PoolerMode};
pub use envelope::{
    BranchEnvelope, DatabaseEnvelope, DatabaseList, EndpointEnvelope, EndpointList,
    OperationEnvelope, ProjectEnvelope, RoleEnvelope, RoleList,
};
pub use error_body::ErrorBody;
pub use lsn::{Lsn, ParseLsnError};
pub use operation::{Operation, OperationAction, OperationStatus};
pub use page::{BranchPage, CursorPagination, OperationPage, Pagination, ProjectPage};
pub use project::{Project, ProjectOwner};
pub use request::{
    BranchEndpoint, CreateBranch, CreateDatabase, CreateEndpoint, CreateProject, CreateRole,
    FirstBranch, INIT_FROM_PARENT, INIT_SCHEMA_ONLY, NewBranch, PROJECT_NAME_CHARS_MAX,
    RestoreBranch, UpdateBranch, UpdateDatabase, UpdateEndpoint, UpdateProject,
};
pub use role::{Database, Role};
pub use settings::{
    AllowedIps, DefaultEndpointSettings, EndpointSettings, MaintenanceWindow, PreloadLibraries,
    ProjectSettings, Quota,
};
