//! The projects of an account: the last complete listing, with the controller's own writes since
//! then applied to it. Pure.
//!
//! The name of a project that the controller creates contains a mark: the installation id and the
//! UID of the Tenant.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use neon_client::ids::ProjectId;
use neon_client::model::{AllowedIps, Project, Quota};

use crate::identity::{InstallationId, TenantUid, marked_tenant};

#[derive(Debug, Default)]
pub struct Snapshot {
    as_of: Option<Timestamp>,
    done_at: Option<Timestamp>,
    pages: usize,
    projects: HashMap<ProjectId, ListingEntry>,
    by_mark: HashMap<TenantUid, Vec<ProjectId>>,
    unavailable: HashSet<ProjectId>,
    /// The controller's last write to each project, with its time. A listing that began before the
    /// write does not override it.
    local_writes: HashMap<ProjectId, (Timestamp, LocalWrite)>,
}

/// What the account's last complete listing shows about one Tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedListing {
    /// When the listing began; `None` until the account has been listed once.
    pub as_of: Option<Timestamp>,
    /// When the listing ended.
    pub done_at: Option<Timestamp>,
    /// The project recorded in the Tenant's status.
    pub own: Option<ObservedProject>,
    /// Projects whose name carries the Tenant's mark.
    pub marked: Vec<ObservedProject>,
    /// Whether Neon reports that it cannot read the recorded project at the moment.
    pub unavailable: bool,
}

/// A project as a listing shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedProject {
    pub id: ProjectId,
    pub name: String,
    pub created_at: Timestamp,
    /// Changes with every change of the project.
    pub updated_at: String,
    /// `None` if the listing does not show the project's settings.
    pub quota: Option<Quota>,
    /// Allowed addresses in canonical form; `None` if the listing does not show the settings.
    pub allowed_ips: Option<BTreeSet<String>>,
    pub history_retention_seconds: Option<u32>,
}

#[derive(Clone, Debug)]
struct ListingEntry {
    project: Arc<ObservedProject>,
    /// The Tenant whose mark the project's name contains.
    mark: Option<TenantUid>,
}

#[derive(Clone, Debug)]
enum LocalWrite {
    Written(ListingEntry),
    Deleted,
}

/// Collects the pages of a listing until it is complete.
#[derive(Debug)]
pub struct ListingBuilder {
    began_at: Timestamp,
    finished_at: Timestamp,
    pages: usize,
    projects: HashMap<ProjectId, ListingEntry>,
    unavailable: HashSet<ProjectId>,
}

impl ListingBuilder {
    pub fn begin(now: Timestamp) -> Self {
        Self {
            began_at: now,
            finished_at: now,
            pages: 0,
            projects: HashMap::new(),
            unavailable: HashSet::new(),
        }
    }

    /// Records that the last page was read at `now`.
    pub fn finish(&mut self, now: Timestamp) {
        self.finished_at = now;
    }

    pub fn add_page(
        &mut self,
        projects: &[Project],
        unavailable: Vec<ProjectId>,
        installation: &InstallationId,
    ) {
        self.pages += 1;
        self.unavailable.extend(unavailable);
        // A page that Neon created during a deletion can contain the deleted project.
        for project in projects
            .iter()
            .filter(|project| project.deleted_at.is_none())
        {
            self.projects
                .insert(project.id.clone(), entry(project, installation));
        }
    }
}

fn entry(project: &Project, installation: &InstallationId) -> ListingEntry {
    ListingEntry {
        project: Arc::new(observed_project(project)),
        mark: marked_tenant(&project.name, installation),
    }
}

fn observed_project(project: &Project) -> ObservedProject {
    let settings = project.settings.as_ref();
    ObservedProject {
        id: project.id.clone(),
        name: project.name.clone(),
        created_at: project.created_at,
        updated_at: project.updated_at.to_string(),
        quota: settings.map(|settings| settings.quota.unwrap_or_default()),
        allowed_ips: settings.map(|settings| {
            settings
                .allowed_ips
                .as_ref()
                .map_or_else(BTreeSet::new, AllowedIps::canonical)
        }),
        history_retention_seconds: project.history_retention_seconds,
    }
}

impl Snapshot {
    /// Replaces the listing by a newer one, which must be complete.
    pub fn replace(&mut self, listing: ListingBuilder) {
        self.as_of = Some(listing.began_at);
        self.done_at = Some(listing.finished_at);
        self.pages = listing.pages;
        self.projects = listing.projects;
        self.unavailable = listing.unavailable;
        self.local_writes
            .retain(|_, (at, _)| *at >= listing.began_at);
        for (id, (_, write)) in &self.local_writes {
            match write {
                LocalWrite::Written(entry) => {
                    self.projects.insert(id.clone(), entry.clone());
                }
                LocalWrite::Deleted => {
                    self.projects.remove(id);
                }
            }
        }
        self.rebuild_index();
    }

    /// Adds a project that the controller created or changed at `now`.
    pub fn record_write(
        &mut self,
        project: &Project,
        installation: &InstallationId,
        now: Timestamp,
    ) {
        let entry = entry(project, installation);
        self.local_writes.insert(
            project.id.clone(),
            (now, LocalWrite::Written(entry.clone())),
        );
        self.projects.insert(project.id.clone(), entry);
        self.add_to_index(&project.id);
    }

    /// Removes a project that the controller deleted, or found deleted, at `now`.
    pub fn record_deletion(&mut self, id: &ProjectId, now: Timestamp) {
        self.local_writes
            .insert(id.clone(), (now, LocalWrite::Deleted));
        if let Some(entry) = self.projects.remove(id)
            && let Some(mark) = entry.mark
        {
            self.by_mark
                .entry(mark)
                .or_default()
                .retain(|one| one != id);
        }
    }

    fn rebuild_index(&mut self) {
        self.by_mark.clear();
        for (id, entry) in &self.projects {
            if let Some(mark) = entry.mark {
                self.by_mark.entry(mark).or_default().push(id.clone());
            }
        }
    }

    fn add_to_index(&mut self, id: &ProjectId) {
        let Some(mark) = self.projects.get(id).and_then(|entry| entry.mark) else {
            return;
        };
        let ids = self.by_mark.entry(mark).or_default();
        if !ids.contains(id) {
            ids.push(id.clone());
        }
    }

    /// What the snapshot shows about a Tenant and the project recorded in its status.
    pub fn listing_for(&self, tenant: TenantUid, project: Option<&ProjectId>) -> ObservedListing {
        let observed = |id: &ProjectId| {
            self.projects
                .get(id)
                .map(|entry| ObservedProject::clone(&entry.project))
        };
        ObservedListing {
            as_of: self.as_of,
            done_at: self.done_at,
            own: project.and_then(observed),
            marked: self
                .by_mark
                .get(&tenant)
                .into_iter()
                .flatten()
                .filter_map(observed)
                .collect(),
            unavailable: project.is_some_and(|id| self.unavailable.contains(id)),
        }
    }

    /// The projects with this installation's mark that belong to none of `tenants`, as of the last
    /// listing.
    pub fn orphaned_projects(&self, tenants: &HashSet<TenantUid>) -> BTreeSet<ProjectId> {
        let orphaned = self
            .by_mark
            .iter()
            .filter(|(tenant, _)| !tenants.contains(tenant));
        // A project that was created after the listing began may belong to a Tenant that `tenants`
        // does not contain yet.
        orphaned
            .flat_map(|(_, ids)| ids)
            .filter(|id| !self.local_writes.contains_key(*id))
            .cloned()
            .collect()
    }

    /// When the last complete listing began. `None` before the first one.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.as_of
    }

    /// Number of pages of the last complete listing.
    pub fn pages(&self) -> usize {
        self.pages
    }

    pub fn len(&self) -> usize {
        self.projects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.projects.is_empty()
    }
}

#[cfg(test)]
mod tests;
