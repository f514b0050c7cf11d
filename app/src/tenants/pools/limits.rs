//! Limits of the pools of a process.

use std::time::Duration;

use crate::config::TenantPools;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Maximum number of open pools per process.
    pub max_pools: usize,
    pub max_connections_per_pool: u32,
    /// How long a pool may stay unused before it is closed.
    pub idle_timeout: Duration,
    /// Timeout for opening a connection. A suspended compute usually starts within a second,
    /// sometimes in several.
    pub connect_timeout: Duration,
    /// Timeout for acquiring a connection from an open pool.
    pub acquire_timeout: Duration,
    /// Timeout for a free slot while all pools are in use.
    pub slot_timeout: Duration,
    /// Whether databases are opened before the first query, to start their computes early.
    pub prewarm: bool,
}

impl From<&TenantPools> for PoolLimits {
    fn from(settings: &TenantPools) -> Self {
        Self {
            max_pools: settings.max_tenant_pools.get(),
            max_connections_per_pool: settings.max_connections_per_tenant.get(),
            idle_timeout: settings.tenant_pool_idle_timeout,
            connect_timeout: settings.tenant_connect_timeout,
            slot_timeout: settings.tenant_pool_wait_timeout,
            prewarm: settings.tenant_prewarm,
            ..Self::default()
        }
    }
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            max_pools: 100,
            max_connections_per_pool: 4,
            idle_timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(15),
            acquire_timeout: Duration::from_secs(10),
            slot_timeout: Duration::from_secs(5),
            prewarm: true,
        }
    }
}
