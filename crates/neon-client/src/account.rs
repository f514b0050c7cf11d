//! Calls for the account: regions, the current user and its organizations.

use crate::{
    Call, Neon, Route,
    call::decode,
    ids::OrgId,
    model::{AuthDetails, CurrentUser, Organization, OrganizationList, Region, RegionList},
};

impl Neon {
    /// Returns the calls for regions.
    pub fn regions(&self) -> Regions {
        Regions::new(self.clone())
    }

    /// Returns the calls for the current user.
    pub fn users(&self) -> Users {
        Users::new(self.clone())
    }

    /// Returns the calls for organizations.
    pub fn organizations(&self) -> Organizations {
        Organizations::new(self.clone())
    }
}

/// Calls for regions. See [`Neon::regions`].
#[derive(Debug, Clone)]
pub struct Regions {
    neon: Neon,
}

impl Regions {
    pub(crate) fn new(neon: Neon) -> Self {
        Self { neon }
    }

    /// Lists the regions in which projects can be created: `GET /regions`.
    pub fn list(&self) -> Call<Vec<Region>> {
        let mut request = self.neon.request(Route::ListRegions, &[]);
        request.query([("org_id", self.neon.org_id().map(OrgId::as_str))]);
        Call::new(self.neon.clone(), request, |body| {
            decode::<RegionList>(body).map(|list| list.regions)
        })
    }
}

/// Calls for users. See [`Neon::users`].
#[derive(Debug, Clone)]
pub struct Users {
    neon: Neon,
}

impl Users {
    pub(crate) fn new(neon: Neon) -> Self {
        Self { neon }
    }

    /// Returns the user or the organization to which the API key belongs: `GET /auth`.
    pub fn auth(&self) -> Call<AuthDetails> {
        let request = self.neon.request(Route::GetAuthDetails, &[]);
        Call::new(self.neon.clone(), request, decode)
    }

    /// Returns the user to whom the API key belongs: `GET /users/me`. The API rejects the call if
    /// the key belongs to an organization.
    pub fn me(&self) -> Call<CurrentUser> {
        let request = self.neon.request(Route::GetCurrentUser, &[]);
        Call::new(self.neon.clone(), request, decode)
    }
}

/// Calls for organizations. See [`Neon::organizations`].
#[derive(Debug, Clone)]
pub struct Organizations {
    neon: Neon,
}

impl Organizations {
    pub(crate) fn new(neon: Neon) -> Self {
        Self { neon }
    }

    /// Lists the organizations of the current user: `GET /users/me/organizations`.
    pub fn list(&self) -> Call<Vec<Organization>> {
        let request = self.neon.request(Route::ListOrganizations, &[]);
        Call::new(self.neon.clone(), request, |body| {
            decode::<OrganizationList>(body).map(|list| list.organizations)
        })
    }

    /// Returns one organization: `GET /organizations/{org_id}`.
    pub fn get(&self, organization: &OrgId) -> Call<Organization> {
        let request = self
            .neon
            .request(Route::GetOrganization, &[organization.as_str()]);
        Call::new(self.neon.clone(), request, decode)
    }
}
