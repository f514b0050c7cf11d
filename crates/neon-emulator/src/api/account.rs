//! The account: the user, the organizations, and the available regions.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use neon_client::ids::OrgId;
use neon_client::model::{
    AuthDetails, AuthMethod, CurrentUser, Organization, OrganizationList, Region, RegionList,
};
use serde::Deserialize;

use super::error::ApiError;
use super::extract::{Caller, Path, Query};
use super::{Api, validate};
use crate::store::StoreError;

/// The organization that every user belongs to.
pub(crate) const ORGANIZATION: &str = "org-emulator-00000001";
/// The user that owns every API key.
const USER: &str = "6e1f0000-0000-4000-8000-000000000001";
const EMAIL: &str = "emulator@example.test";
/// The value that the API uses for "no limit".
const NO_LIMIT: i64 = -1;

#[derive(Debug, Deserialize)]
pub(super) struct RegionsParams {
    #[expect(
        dead_code,
        reason = "all organizations have the same regions; the ID is only validated"
    )]
    org_id: Option<OrgId>,
}

pub(super) async fn regions(_: Query<RegionsParams>) -> Result<Json<RegionList>, ApiError> {
    let region = |(id, name, latitude, longitude): &(&str, &str, &str, &str)| {
        Ok(Region {
            region_id: id.parse().map_err(|_| ApiError::internal())?,
            name: (*name).to_owned(),
            default: *id == validate::DEFAULT_REGION,
            geo_lat: (*latitude).to_owned(),
            geo_long: (*longitude).to_owned(),
        })
    };
    Ok(Json(RegionList {
        regions: validate::REGIONS
            .iter()
            .map(region)
            .collect::<Result<_, ApiError>>()?,
    }))
}

/// As in Neon, the key of an organization has no user.
pub(super) async fn me(
    State(api): State<Arc<Api>>,
    Caller(organization): Caller,
) -> Result<Json<CurrentUser>, ApiError> {
    if organization.is_some() {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "",
            "not allowed for organization API keys",
        ));
    }
    Ok(Json(CurrentUser {
        id: USER.to_owned(),
        email: EMAIL.to_owned(),
        login: "emulator".to_owned(),
        name: "Emulator".to_owned(),
        last_name: String::new(),
        image: String::new(),
        plan: api.limits.plan.api_name().to_owned(),
        projects_limit: [api.limits.projects, api.limits.plan.max_projects()]
            .into_iter()
            .flatten()
            .min()
            .map_or(NO_LIMIT, i64::from),
        branches_limit: api.limits.branches_per_project.map_or(NO_LIMIT, i64::from),
        max_autoscaling_limit: api.limits.plan.max_cu().min(validate::MAX_AUTOSCALING_CU),
        active_seconds_limit: NO_LIMIT,
        compute_seconds_limit: None,
        auth_accounts: Vec::new(),
    }))
}

pub(super) async fn auth(Caller(organization): Caller) -> Json<AuthDetails> {
    Json(match organization {
        Some(organization) => AuthDetails {
            account_id: organization.to_string(),
            auth_method: AuthMethod::ApiKeyOrg,
        },
        None => AuthDetails {
            account_id: USER.to_owned(),
            auth_method: AuthMethod::ApiKeyUser,
        },
    })
}

fn organization(api: &Api, id: OrgId) -> Organization {
    Organization {
        name: id.to_string(),
        handle: id.to_string(),
        plan: api.plan(Some(id.as_str())).api_name().to_owned(),
        id,
        managed_by: "console".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

/// The emulator's own organization and all organizations that projects were created in.
async fn organization_ids(api: &Api) -> Result<Vec<OrgId>, ApiError> {
    let default = ORGANIZATION.to_owned();
    let mut ids = api.store.organizations().await?;
    let with_plan = api
        .organization_plans()
        .into_keys()
        .map(|id| id.to_string());
    ids.extend(with_plan);
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| *id != default);
    ids.insert(0, default);
    Ok(ids
        .iter()
        .map(|id| id.parse())
        .collect::<Result<_, _>>()
        .map_err(StoreError::corrupt)?)
}

pub(super) async fn organizations(
    State(api): State<Arc<Api>>,
) -> Result<Json<OrganizationList>, ApiError> {
    let organizations = organization_ids(&api)
        .await?
        .into_iter()
        .map(|id| organization(&api, id))
        .collect();
    Ok(Json(OrganizationList { organizations }))
}

pub(super) async fn get_organization(
    State(api): State<Arc<Api>>,
    Caller(own): Caller,
    Path(id): Path<OrgId>,
) -> Result<Json<Organization>, ApiError> {
    let is_visible = match own {
        Some(own) => own == id,
        None => organization_ids(&api).await?.contains(&id),
    };
    if is_visible {
        Ok(Json(organization(&api, id)))
    } else {
        Err(ApiError::not_found("organization"))
    }
}
