//! Calls about the account itself: where projects can be, who holds the key, and their organizations.

use crate::{
    Call, Neon, Route,
    call::read,
    ids::OrgId,
    model::{CurrentUser, Organization, OrganizationList, Region, RegionList},
};

/// Calls about regions. See [`Neon::regions`].
#[derive(Debug, Clone)]
pub struct Regions {
    neon: Neon,
}

impl Regions {
    pub(crate) fn new(neon: Neon) -> Self {
        Self { neon }
    }

    /// Those that new projects can be made in: `GET /regions`.
    pub fn list(&self) -> Call<Vec<Region>> {
        let mut request = self.neon.request(Route::ListRegions, &[]);
        request.query([("org_id", self.neon.org_id().map(OrgId::as_str))]);
        Call::new(self.neon.clone(), request, |body| {
            read::<RegionList>(body).map(|list| list.regions)
        })
    }
}

/// Calls about users. See [`Neon::users`].
#[derive(Debug, Clone)]
pub struct Users {
    neon: Neon,
}

impl Users {
    pub(crate) fn new(neon: Neon) -> Self {
        Self { neon }
    }

    /// Who holds the key: `GET /users/me`. A key of an organization has no user: the API refuses it.
    pub fn me(&self) -> Call<CurrentUser> {
        let request = self.neon.request(Route::GetCurrentUser, &[]);
        Call::new(self.neon.clone(), request, read)
    }
}

/// Calls about organizations. See [`Neon::organizations`].
#[derive(Debug, Clone)]
pub struct Organizations {
    neon: Neon,
}

impl Organizations {
    pub(crate) fn new(neon: Neon) -> Self {
        Self { neon }
    }

    /// Those of who holds the key: `GET /users/me/organizations`.
    pub fn list(&self) -> Call<Vec<Organization>> {
        let request = self.neon.request(Route::ListOrganizations, &[]);
        Call::new(self.neon.clone(), request, |body| {
            read::<OrganizationList>(body).map(|list| list.organizations)
        })
    }

    /// One of them: `GET /organizations/{org_id}`.
    pub fn get(&self, organization: &OrgId) -> Call<Organization> {
        let request = self
            .neon
            .request(Route::GetOrganization, &[organization.as_str()]);
        Call::new(self.neon.clone(), request, read)
    }
}
