//! Settings of Tenants: their namespace, the limits of a workspace, and connections.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use clap::ArgAction;
use service_kit::settings::values as common;

use super::values::{self, ByteSize, ClassOptions};
use super::{HOUR, MINUTE, MS, SECOND};

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Tenants")]
pub struct Tenants {
    /// Namespace of the app's Tenants. It must contain nothing else
    #[arg(id = "tenants-namespace", long = "tenants-namespace", value_name = "NAME", default_value = "chat-tenants", value_parser = common::namespace)]
    pub namespace: String,
    /// TenantClasses that users can choose from, as name=Display name, separated by commas. The first is
    /// the default
    #[arg(long = "tenant-classes", value_name = "CLASSES", default_value = "default=Standard", value_parser = values::classes)]
    pub classes: ClassOptions,
    /// Regions that users can choose from, in the same form. If empty, the class determines the region
    #[arg(long = "tenant-regions", value_name = "REGIONS", default_value = "", value_parser = values::regions)]
    pub regions: ClassOptions,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Limits of workspaces")]
pub struct WorkspaceQuota {
    /// Maximum size of a file, from 1KB to 1GB
    #[arg(long, value_name = "BYTES", default_value = "25MB", value_parser = values::byte_size(1_000..=1_000_000_000))]
    pub max_upload_bytes: ByteSize,
    /// Maximum number of documents in a workspace
    #[arg(long, value_name = "DOCUMENTS", default_value = "20", value_parser = common::count(10_000))]
    pub max_documents: NonZeroU32,
    /// Maximum number of workspaces that a user can own
    #[arg(long, value_name = "WORKSPACES", default_value = "5", value_parser = common::count(1000))]
    pub max_workspaces_per_user: NonZeroU32,
    /// Maximum number of members of a workspace
    #[arg(long, value_name = "MEMBERS", default_value = "50", value_parser = common::count(10_000))]
    pub max_members: NonZeroU32,
    /// Maximum number of workspaces. Each has a Neon project, which costs money
    #[arg(long, value_name = "WORKSPACES", default_value = "1000", value_parser = common::count(1_000_000))]
    pub max_workspaces: NonZeroU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Connections to tenant databases")]
pub struct TenantPools {
    /// Maximum number of tenant databases that this process has open. At the limit, the one that has been
    /// idle longest is closed
    #[arg(long, value_name = "POOLS", default_value = "100", value_parser = common::size(10_000))]
    pub max_tenant_pools: NonZeroUsize,
    /// Maximum number of connections to one tenant database
    #[arg(long, value_name = "CONNECTIONS", default_value = "4", value_parser = common::count(100))]
    pub max_connections_per_tenant: NonZeroU32,
    /// How long an unused database stays open, from 1s to 1h. A compute is suspended only while it has no
    /// connections
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = common::duration(SECOND..=HOUR))]
    pub tenant_pool_idle_timeout: Duration,
    /// Timeout for opening a database, from 100ms to 5m. A suspended compute must start within this time
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = common::duration(100 * MS..=5 * MINUTE))]
    pub tenant_connect_timeout: Duration,
    /// How long a request waits for a pool while all are in use, from 0s to 1m
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = common::duration(Duration::ZERO..=MINUTE))]
    pub tenant_pool_wait_timeout: Duration,
    /// Whether opening a page of a workspace starts its compute, so that the first question does not wait
    /// for it: true or false
    #[arg(long, value_name = "BOOL", default_value = "true", action = ArgAction::Set, value_parser = values::boolean)]
    pub tenant_prewarm: bool,
}
