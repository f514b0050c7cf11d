//! The wire format: resources, requests and envelopes.
//!
//! Every type can be serialized and deserialized, because the emulator uses the same types as a
//! server. Deserialization is tolerant: unknown fields are ignored, unknown enum values are kept,
//! and only fields that the client needs are required. Passwords, and URIs that contain one, are
//! [`secrecy::SecretString`]. `Debug` does not show them; serialization writes them, because that
//! is how they are sent. Never log a serialized value of these types.

mod account;
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
mod response;
mod role;
mod secret;
mod settings;
mod snapshot;
mod string_enum;

pub use account::{
    AuthDetails, AuthMethod, CurrentUser, Organization, OrganizationList, Region, RegionList,
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
    CreateSnapshot, FinalizeRestore, FirstBranch, INIT_FROM_PARENT, INIT_SCHEMA_ONLY,
    MAX_PROJECT_NAME_CHARS, NewBranch, RestoreBranch, RestoreSnapshot, UpdateBranch,
    UpdateDatabase, UpdateEndpoint, UpdateProject,
};
pub use response::{
    BranchOperations, CreatedBranch, CreatedProject, DatabaseOperations, EndpointOperations,
    RecoveredProject, RevealedPassword, RoleOperations, UpdatedProject,
};
pub use role::{Database, Role};
pub use settings::{
    AllowedIps, DefaultEndpointSettings, EndpointSettings, MaintenanceWindow, PreloadLibraries,
    ProjectSettings, Quota,
};
pub use snapshot::{CreatedSnapshot, RestoredSnapshot, Snapshot, SnapshotList, StartedOperations};
