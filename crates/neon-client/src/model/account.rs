//! The account: the current user, its organizations and the available regions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{nulls, string_enum::string_enum};
use crate::ids::{OrgId, RegionId};

/// A region in which projects can be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Unique id.
    pub region_id: RegionId,
    /// Human-readable name.
    #[serde(default)]
    pub name: String,
    /// Whether this is the default region of new projects.
    #[serde(default)]
    pub default: bool,
    /// Latitude in degrees.
    #[serde(default)]
    pub geo_lat: String,
    /// Longitude in degrees.
    #[serde(default)]
    pub geo_long: String,
}

/// The user to whom the API key belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurrentUser {
    /// Unique id.
    pub id: String,
    /// Email address.
    pub email: String,
    /// Login name.
    #[serde(default)]
    pub login: String,
    /// First name or full name.
    #[serde(default)]
    pub name: String,
    /// Last name.
    #[serde(default)]
    pub last_name: String,
    /// URL of the profile picture.
    #[serde(default)]
    pub image: String,
    /// Subscription plan.
    #[serde(default)]
    pub plan: String,
    /// Maximum number of projects. `-1` means no limit.
    #[serde(default)]
    pub projects_limit: i64,
    /// Maximum number of branches per project. `-1` means no limit.
    #[serde(default)]
    pub branches_limit: i64,
    /// Maximum autoscaling size, in compute units.
    #[serde(default)]
    pub max_autoscaling_limit: f64,
    /// Maximum active compute time per billing period, in seconds. `-1` means no limit.
    #[serde(default)]
    pub active_seconds_limit: i64,
    /// Maximum CPU time per billing period, in seconds. `-1` means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_seconds_limit: Option<i64>,
    /// Linked authentication accounts. The client keeps them unparsed.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub auth_accounts: Vec<Value>,
}

/// An organization, to which projects belong and are billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Unique id.
    pub id: OrgId,
    /// Name.
    #[serde(default)]
    pub name: String,
    /// Name in URLs.
    #[serde(default)]
    pub handle: String,
    /// Subscription plan.
    #[serde(default)]
    pub plan: String,
    /// Platform that manages the organization, such as `console` or `vercel`.
    #[serde(default)]
    pub managed_by: String,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last update.
    pub updated_at: Timestamp,
}

string_enum! {
    /// How a call is authenticated.
    AuthMethod {
        /// The API key of a user.
        ApiKeyUser = "api_key_user",
        /// The API key of an organization.
        ApiKeyOrg = "api_key_org",
    }
}

/// Whom the API key belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthDetails {
    /// Id of the user or the organization.
    pub account_id: String,
    /// Kind of the key.
    pub auth_method: AuthMethod,
}

/// `{"regions": [...]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionList {
    /// The list.
    #[serde(deserialize_with = "nulls::as_default")]
    pub regions: Vec<Region>,
}

/// `{"organizations": [...]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationList {
    /// The list.
    #[serde(deserialize_with = "nulls::as_default")]
    pub organizations: Vec<Organization>,
}
