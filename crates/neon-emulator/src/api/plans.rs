//! The plans of the account and of its organizations.

use std::collections::BTreeMap;

use neon_client::ids::{OrgId, ProjectId};
use parking_lot::RwLock;

use super::Api;
use crate::plan::Plan;
use crate::store::{Store, StoreError};

/// The prefix of the keys under which the plans of organizations are stored.
const META_PREFIX: &str = "plan:";

/// The plans of organizations that differ from the account's.
#[derive(Debug)]
pub(crate) struct OrganizationPlans(RwLock<BTreeMap<OrgId, Plan>>);

impl OrganizationPlans {
    pub(crate) async fn load(store: &Store) -> Result<Self, StoreError> {
        let stored = store.read_meta_with_prefix(META_PREFIX).await?;
        let plans = stored.into_iter().map(|(organization, plan)| {
            let organization = organization.parse().map_err(StoreError::corrupt)?;
            Ok((organization, plan.parse().map_err(StoreError::corrupt)?))
        });
        Ok(Self(RwLock::new(plans.collect::<Result<_, StoreError>>()?)))
    }
}

impl Api {
    /// The plan of an organization, or of projects without one.
    pub(crate) fn plan(&self, organization: Option<&str>) -> Plan {
        let plans = self.organization_plans.0.read();
        organization
            .and_then(|id| plans.iter().find(|(known, _)| known.as_str() == id))
            .map_or(self.limits.plan, |(_, plan)| *plan)
    }

    pub(crate) async fn plan_of_project(&self, project: &ProjectId) -> Result<Plan, StoreError> {
        let row = self.store.project(project).await?;
        Ok(self.plan(row.org_id.as_deref()))
    }

    /// The plans of organizations that differ from the account's.
    pub(crate) fn organization_plans(&self) -> BTreeMap<OrgId, Plan> {
        self.organization_plans.0.read().clone()
    }

    /// Changes the plan of an organization. Existing projects keep their settings.
    pub(crate) async fn set_plan(&self, organization: OrgId, plan: Plan) -> Result<(), StoreError> {
        let key = format!("{META_PREFIX}{organization}");
        self.store.write_meta(&key, plan.as_str()).await?;
        self.organization_plans.0.write().insert(organization, plan);
        Ok(())
    }
}
