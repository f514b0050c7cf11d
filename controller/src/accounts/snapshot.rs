//! The projects of an account: the last listing, with the controller's own writes since then applied
//! to it. Pure.
//!
//! Neon's lists are often partial: they contain only the ids of projects that could not be read in
//! time. Such a project is kept as an earlier listing showed it. If none did, its name and therefore
//! its Tenant are unknown, and the listing is incomplete: it does not prove that a Tenant has no
//! project.
//!
//! The name of a project that the controller creates contains a mark, which identifies its Tenant.

mod entry;

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use neon_client::ids::ProjectId;
use neon_client::model::Project;
use smallvec::SmallVec;

use entry::{ListingEntry, RecentSettings};
pub use entry::{ObservedProject, is_unused};

use crate::identity::{InstallationId, ProjectMark, TenantKey, TenantUid};

/// Projects that are remembered after they disappeared from the listing. Beyond that, a deletion is
/// confirmed by Neon's list of recoverable projects.
const MAX_DEPARTED: usize = 100_000;

/// Ids of projects; nearly always one.
type Ids = SmallVec<[ProjectId; 1]>;

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
    by_mark: HashMap<TenantUid, Ids>,
    by_key: HashMap<TenantKey, Ids>,
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
    settings: RecentSettings,
    unavailable: HashSet<ProjectId>,
}

impl ListingBuilder {
    pub fn begin(now: Timestamp) -> Self {
        Self {
            began_at: now,
            finished_at: now,
            pages: 0,
            projects: HashMap::new(),
            settings: RecentSettings::default(),
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
            let mut entry = ListingEntry::new(project, installation, &mut self.settings);
            entry.listed = true;
            self.projects.insert(project.id.clone(), entry);
        }
    }

    /// Adds a project that was read by id, because a page contained only its id.
    pub fn resolve(&mut self, project: &Project, installation: &InstallationId) {
        self.unavailable.remove(&project.id);
        if project.deleted_at.is_none() {
            let entry = ListingEntry::new(project, installation, &mut self.settings);
            self.projects.insert(project.id.clone(), entry);
        }
    }

    /// Records that a project, of which a page contained only the id, does not exist any more.
    pub fn resolve_absent(&mut self, id: &ProjectId) {
        self.unavailable.remove(id);
    }
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
                listing.projects.entry(id.clone()).or_insert_with(|| {
                    let mut entry = known.clone();
                    entry.listed = false;
                    entry
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
        let entry = ListingEntry::new(project, installation, &mut RecentSettings::default());
        self.local_writes.insert(
            project.id.clone(),
            (now, LocalWrite::Written(entry.clone())),
        );
        // The write may have changed the mark.
        let before = self.projects.insert(project.id.clone(), entry);
        if let Some(mark) = before.and_then(|entry| entry.mark()) {
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
            && let Some(mark) = entry.mark()
        {
            self.remove_from_index(id, &mark);
        }
    }

    fn rebuild_index(&mut self) {
        self.by_mark.clear();
        self.by_key.clear();
        for (id, entry) in &self.projects {
            if let Some(mark) = entry.mark() {
                self.by_mark
                    .entry(mark.tenant)
                    .or_default()
                    .push(id.clone());
                self.by_key.entry(mark.key).or_default().push(id.clone());
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
        let Some(mark) = self.projects.get(id).and_then(ListingEntry::mark) else {
            return;
        };
        for ids in [
            self.by_mark.entry(mark.tenant).or_default(),
            self.by_key.entry(mark.key).or_default(),
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
        let observed = |id: &ProjectId| self.projects.get(id).map(|entry| entry.observed(id));
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
                .filter_map(|id| Some((id, self.projects.get(id)?)))
                .filter(|(_, entry)| entry.mark().is_some_and(|mark| mark.tenant != tenant))
                .map(|(id, entry)| entry.observed(id))
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

    /// Ids of the projects of which a compute was active at this time or later, as of the last listing.
    pub fn active_since(&self, time: Timestamp) -> HashSet<String> {
        let active = self
            .projects
            .iter()
            .filter(|(_, entry)| entry.last_active_at >= Some(time));
        active.map(|(id, _)| id.to_string()).collect()
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
