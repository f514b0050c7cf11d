//! The account: who holds the key, their organizations, and where projects can be.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::nulls;
use crate::ids::{OrgId, RegionId};

/// A place where projects can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Its identifier.
    pub region_id: RegionId,
    /// Its name, for people.
    #[serde(default)]
    pub name: String,
    /// Whether a project that names none is made there.
    #[serde(default)]
    pub default: bool,
    /// Degrees of latitude.
    #[serde(default)]
    pub geo_lat: String,
    /// Degrees of longitude.
    #[serde(default)]
    pub geo_long: String,
}

/// Who holds the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurrentUser {
    /// Their identifier.
    pub id: String,
    /// Mail address.
    pub email: String,
    /// The name they sign in with.
    #[serde(default)]
    pub login: String,
    /// First name, or the whole of it.
    #[serde(default)]
    pub name: String,
    /// Family name.
    #[serde(default)]
    pub last_name: String,
    /// Where their picture is.
    #[serde(default)]
    pub image: String,
    /// The plan they are on.
    #[serde(default)]
    pub plan: String,
    /// How many projects they may have; `-1` is no limit.
    #[serde(default)]
    pub projects_limit: i64,
    /// How many branches a project of theirs may have; `-1` is no limit.
    #[serde(default)]
    pub branches_limit: i64,
    /// The largest compute that autoscaling may reach, in compute units.
    #[serde(default)]
    pub max_autoscaling_limit: f64,
    /// Active seconds of computes in a billing period; `-1` is no limit.
    #[serde(default)]
    pub active_seconds_limit: i64,
    /// CPU seconds in a billing period; `-1` is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_seconds_limit: Option<i64>,
    /// Where else they sign in. The client has no use for it, and passes it on as it came.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub auth_accounts: Vec<Value>,
}

/// An organization: what projects belong to and are billed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Its identifier.
    pub id: OrgId,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its name in addresses.
    #[serde(default)]
    pub handle: String,
    /// The plan it is on.
    #[serde(default)]
    pub plan: String,
    /// Who looks after it: `console`, `vercel`.
    #[serde(default)]
    pub managed_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// `{"regions": [...]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionList {
    /// All of them.
    #[serde(deserialize_with = "nulls::as_default")]
    pub regions: Vec<Region>,
}

/// `{"organizations": [...]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationList {
    /// All of them.
    #[serde(deserialize_with = "nulls::as_default")]
    pub organizations: Vec<Organization>,
}
