//! The projects of an account: the last listing, with the controller's own writes since then applied
//! to it. Pure.
//!
//! Neon's lists are often partial: they contain only the ids of projects that could not be read in
//! time. Such a project is kept as an earlier listing showed it. If none did, its name and therefore
//! its Tenant are unknown, and the listing is incomplete: it does not prove that a Tenant has no
//! project.
//!
//! The name of a project that the controller creates contains a mark, which identifies its Tenant.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use neon_client::ids::ProjectId;
use neon_client::model::{AllowedIps, DefaultEndpointSettings, Project, Quota};

use crate::identity::{InstallationId, ProjectMark, TenantKey, TenantUid};

/// Maximum storage of a project that contains only Postgres' own catalogs.
const MAX_UNUSED_STORAGE_BYTES: i64 = 64 << 20;

/// Projects that are remembered after they disappeared from the listing. Beyond that, a deletion is
/// confirmed by Neon's list of recoverable projects.
const MAX_DEPARTED: usize = 100_000;

#[derive(Debug, Default)]
pub struct Snapshot {
    /// When the last complete listing began.
    as_of: Option<Timestamp>,
    /// When the last listing ended, complete or not.
    done_at: Option<Timestamp>,
    /// Whether the last listing is complete.
    complete: bool,
    pages: usize,
    projects: HashMap<ProjectId, ListingEntry>,
    by_mark: HashMap<TenantUid, Vec<ProjectId>>,
    by_key: HashMap<TenantKey, Vec<ProjectId>>,
    unavailable: HashSet<ProjectId>,
    /// Projects that an earlier listing showed and the last one does not.
    departed: HashSet<ProjectId>,
    /// The controller's last write to each project, with its time. A listing that began before the
    /// write does not override it.
    local_writes: HashMap<ProjectId, (Timestamp, LocalWrite)>,
}

/// What the account's listings show about one Tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedListing {
    /// When the last complete listing began; `None` until there has been one. Only a complete
    /// listing proves that a project does not exist.
    pub as_of: Option<Timestamp>,
    /// When the last listing ended, complete or not.
    pub done_at: Option<Timestamp>,
    /// The project recorded in the Tenant's status. Without a status, the project that the Tenant
    /// adopts, or that a backup names.
    pub own: Option<ObservedProject>,
    /// Projects whose name carries the Tenant's mark.
    pub marked: Vec<ObservedProject>,
    /// Projects of other Tenants with the Tenant's namespace and name: of earlier ones, or of those
    /// that the Tenant replaces.
    pub namesakes: Vec<ObservedProject>,
    /// Whether Neon reports that it cannot read the recorded project at the moment.
    pub unavailable: bool,
    /// Whether the last listing is complete and shows the recorded project.
    pub own_confirmed: bool,
}

/// A project as a listing shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedProject {
    pub id: ProjectId,
    pub name: String,
    pub created_at: Timestamp,
    /// Changes with every change of the project, and with the activity of its computes.
    pub updated_at: String,
    /// `None` if the listing does not show the project's settings.
    pub quota: Option<Quota>,
    /// Allowed addresses in canonical form; `None` if the listing does not show the settings.
    pub allowed_ips: Option<BTreeSet<String>>,
    pub history_retention_seconds: Option<u32>,
    /// Sizes and suspend timeout of new computes; `None` if the listing does not show them.
    pub compute_defaults: Option<DefaultEndpointSettings>,
    /// Whether Neon's usage figures prove that the project was never used.
    pub unused: bool,
}

#[derive(Clone, Debug)]
struct ListingEntry {
    project: Arc<ObservedProject>,
    /// Whether the last listing shows the project, rather than an earlier one or a local write.
    listed: bool,
    /// The mark in the project's name, if it is of this installation.
    mark: Option<ProjectMark>,
}

#[derive(Clone, Debug)]
enum LocalWrite {
    Written(ListingEntry),
    Deleted,
}

/// Collects the pages of a listing.
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
            let entry = ListingEntry {
                listed: true,
                ..entry(project, installation)
            };
            self.projects.insert(project.id.clone(), entry);
        }
    }

    /// Adds a project that was read by id, because a page contained only its id.
    pub fn resolve(&mut self, project: &Project, installation: &InstallationId) {
        self.unavailable.remove(&project.id);
        if project.deleted_at.is_none() {
            self.projects
                .insert(project.id.clone(), entry(project, installation));
        }
    }

    /// Records that a project, of which a page contained only the id, does not exist any more.
    pub fn resolve_absent(&mut self, id: &ProjectId) {
        self.unavailable.remove(id);
    }
}

fn entry(project: &Project, installation: &InstallationId) -> ListingEntry {
    ListingEntry {
        project: Arc::new(observed_project(project)),
        listed: false,
        mark: ProjectMark::parse(&project.name).filter(|mark| mark.installation == *installation),
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
        compute_defaults: project.default_endpoint_settings.as_ref().map(|defaults| {
            DefaultEndpointSettings {
                pg_settings: None,
                pgbouncer_settings: None,
                ..defaults.clone()
            }
        }),
        unused: is_unused(project),
    }
}

/// Whether the usage figures of a project prove that it was never used. Missing figures prove
/// nothing.
pub fn is_unused(project: &Project) -> bool {
    project.compute_last_active_at.is_none()
        && project.active_time.or(project.active_time_seconds) == Some(0)
        && project
            .synthetic_storage_size
            .is_some_and(|bytes| bytes <= MAX_UNUSED_STORAGE_BYTES)
}

impl Snapshot {
    /// The projects of which the listing contains only the id and that no earlier listing showed, in
    /// the order of their ids.
    pub fn unresolved(&self, listing: &ListingBuilder) -> BTreeSet<ProjectId> {
        let is_deleted = |id: &ProjectId| {
            self.local_writes.get(id).is_some_and(|(at, write)| {
                *at >= listing.began_at && matches!(write, LocalWrite::Deleted)
            })
        };
        listing
            .unavailable
            .iter()
            .filter(|id| !listing.projects.contains_key(*id) && !self.projects.contains_key(*id))
            .filter(|id| !is_deleted(id))
            .cloned()
            .collect()
    }

    /// Replaces the listing by a newer one. Returns the unresolved projects; if there are any, the
    /// newer listing does not prove that a project does not exist.
    pub fn replace(&mut self, mut listing: ListingBuilder) -> BTreeSet<ProjectId> {
        let unresolved = self.unresolved(&listing);
        for id in &listing.unavailable {
            if let Some(known) = self.projects.get(id) {
                listing
                    .projects
                    .entry(id.clone())
                    .or_insert_with(|| ListingEntry {
                        listed: false,
                        ..known.clone()
                    });
            }
        }
        if unresolved.is_empty() {
            self.as_of = Some(listing.began_at);
        }
        self.complete = unresolved.is_empty();
        let before = std::mem::take(&mut self.projects);
        if self.departed.len() > MAX_DEPARTED {
            self.departed.clear();
        }
        self.departed.extend(
            before
                .into_keys()
                .filter(|id| !listing.projects.contains_key(id)),
        );
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
        unresolved
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
        // The write may have changed the mark.
        let before = self.projects.insert(project.id.clone(), entry);
        if let Some(mark) = before.and_then(|entry| entry.mark) {
            self.remove_from_index(&project.id, &mark);
        }
        self.add_to_index(&project.id);
    }

    /// Removes a project that the controller deleted, or found deleted, at `now`.
    pub fn record_deletion(&mut self, id: &ProjectId, now: Timestamp) {
        self.local_writes
            .insert(id.clone(), (now, LocalWrite::Deleted));
        self.departed.insert(id.clone());
        if let Some(entry) = self.projects.remove(id)
            && let Some(mark) = entry.mark
        {
            self.remove_from_index(id, &mark);
        }
    }

    fn rebuild_index(&mut self) {
        self.by_mark.clear();
        self.by_key.clear();
        for (id, entry) in &self.projects {
            if let Some(mark) = &entry.mark {
                self.by_mark
                    .entry(mark.tenant)
                    .or_default()
                    .push(id.clone());
                self.by_key
                    .entry(mark.key.clone())
                    .or_default()
                    .push(id.clone());
            }
        }
    }

    fn remove_from_index(&mut self, id: &ProjectId, mark: &ProjectMark) {
        if let Some(ids) = self.by_mark.get_mut(&mark.tenant) {
            ids.retain(|one| one != id);
        }
        if let Some(ids) = self.by_key.get_mut(&mark.key) {
            ids.retain(|one| one != id);
        }
    }

    fn add_to_index(&mut self, id: &ProjectId) {
        let Some(mark) = self.projects.get(id).and_then(|entry| entry.mark.as_ref()) else {
            return;
        };
        for ids in [
            self.by_mark.entry(mark.tenant).or_default(),
            self.by_key.entry(mark.key.clone()).or_default(),
        ] {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
    }

    /// What the snapshot shows about the Tenant with this UID and key, and about the project that it
    /// names.
    pub fn listing_for(
        &self,
        tenant: TenantUid,
        key: &TenantKey,
        project: Option<&ProjectId>,
    ) -> ObservedListing {
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
            namesakes: self
                .by_key
                .get(key)
                .into_iter()
                .flatten()
                .filter_map(|id| self.projects.get(id))
                .filter(|entry| {
                    entry
                        .mark
                        .as_ref()
                        .is_some_and(|mark| mark.tenant != tenant)
                })
                .map(|entry| ObservedProject::clone(&entry.project))
                .collect(),
            unavailable: project.is_some_and(|id| self.unavailable.contains(id)),
            own_confirmed: self.complete
                && project
                    .and_then(|id| self.projects.get(id))
                    .is_some_and(|entry| entry.listed),
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

    /// Whether the account has ever shown the project, as far as this process knows.
    pub fn has_shown(&self, id: &ProjectId) -> bool {
        self.projects.contains_key(id) || self.departed.contains(id)
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
