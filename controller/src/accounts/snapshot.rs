//! What the last complete listing of an account said, with what we did since laid over it. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use neon_client::ids::ProjectId;
use neon_client::model::Project;

use crate::identity::{InstallationId, TenantUid, marked_tenant};
use crate::tenant::desired::QuotaWish;
use crate::tenant::observed::{ListingFacts, Seen};

/// The account as last seen.
#[derive(Debug, Default)]
pub struct Snapshot {
    as_of: Option<Timestamp>,
    done_at: Option<Timestamp>,
    pages: usize,
    projects: HashMap<ProjectId, Entry>,
    by_mark: HashMap<TenantUid, Vec<ProjectId>>,
    unavailable: HashSet<ProjectId>,
    /// What we did ourselves, and when: it outlives a listing that began before.
    noted: HashMap<ProjectId, (Timestamp, Noted)>,
}

#[derive(Clone, Debug)]
struct Entry {
    seen: Arc<Seen>,
    mark: Option<TenantUid>,
}

#[derive(Clone, Debug)]
enum Noted {
    Written(Entry),
    Deleted,
}

/// Pages of a listing, gathered until it is complete.
#[derive(Debug)]
pub struct Gathering {
    began: Timestamp,
    ended: Timestamp,
    pages: usize,
    projects: HashMap<ProjectId, Entry>,
    unavailable: HashSet<ProjectId>,
}

impl Gathering {
    /// A listing that begins now.
    pub fn begin(now: Timestamp) -> Self {
        Self {
            began: now,
            ended: now,
            pages: 0,
            projects: HashMap::new(),
            unavailable: HashSet::new(),
        }
    }

    /// The last page was read now.
    pub fn end(&mut self, now: Timestamp) {
        self.ended = now;
    }

    /// Takes in one page.
    pub fn page(
        &mut self,
        projects: &[Project],
        unavailable: Vec<ProjectId>,
        installation: &InstallationId,
    ) {
        self.pages += 1;
        self.unavailable.extend(unavailable);
        // A project that Neon lists although it is deleted (its page was made while it went) is not there.
        for project in projects
            .iter()
            .filter(|project| project.deleted_at.is_none())
        {
            self.projects
                .insert(project.id.clone(), entry(project, installation));
        }
    }
}

fn entry(project: &Project, installation: &InstallationId) -> Entry {
    Entry {
        seen: Arc::new(seen(project)),
        mark: marked_tenant(&project.name, installation),
    }
}

/// A project as a listing shows it, without what nobody compares.
fn seen(project: &Project) -> Seen {
    let settings = project.settings.as_ref();
    Seen {
        id: project.id.clone(),
        name: project.name.clone(),
        created_at: project.created_at,
        updated_at: project.updated_at.to_string(),
        quota: settings.map(|settings| settings.quota.as_ref().map(quota).unwrap_or_default()),
        allowed_ips: settings.map(|settings| {
            settings
                .allowed_ips
                .as_ref()
                .map_or_else(BTreeSet::new, neon_client::model::AllowedIps::canonical)
        }),
        history_retention_seconds: project.history_retention_seconds,
    }
}

fn quota(quota: &neon_client::model::Quota) -> QuotaWish {
    QuotaWish {
        active_time_seconds: quota.active_time_seconds,
        compute_time_seconds: quota.compute_time_seconds,
        written_data_bytes: quota.written_data_bytes,
        data_transfer_bytes: quota.data_transfer_bytes,
        logical_size_bytes: quota.logical_size_bytes,
    }
}

impl Snapshot {
    /// Puts a complete listing in the place of the one before.
    pub fn replace(&mut self, gathered: Gathering) {
        self.as_of = Some(gathered.began);
        self.done_at = Some(gathered.ended);
        self.pages = gathered.pages;
        self.projects = gathered.projects;
        self.unavailable = gathered.unavailable;
        self.noted.retain(|_, (at, _)| *at >= gathered.began);
        for (id, (_, noted)) in &self.noted {
            match noted {
                Noted::Written(entry) => {
                    self.projects.insert(id.clone(), entry.clone());
                }
                Noted::Deleted => {
                    self.projects.remove(id);
                }
            }
        }
        self.index();
    }

    /// Lays a project over the listing that we just created or changed.
    pub fn wrote(&mut self, project: &Project, installation: &InstallationId, now: Timestamp) {
        let entry = entry(project, installation);
        self.noted
            .insert(project.id.clone(), (now, Noted::Written(entry.clone())));
        self.projects.insert(project.id.clone(), entry);
        self.index_one(&project.id);
    }

    /// Takes a project out of the listing that we just deleted, or found deleted.
    pub fn deleted(&mut self, id: &ProjectId, now: Timestamp) {
        self.noted.insert(id.clone(), (now, Noted::Deleted));
        if let Some(entry) = self.projects.remove(id)
            && let Some(mark) = entry.mark
        {
            self.by_mark
                .entry(mark)
                .or_default()
                .retain(|one| one != id);
        }
    }

    fn index(&mut self) {
        self.by_mark.clear();
        for (id, entry) in &self.projects {
            if let Some(mark) = entry.mark {
                self.by_mark.entry(mark).or_default().push(id.clone());
            }
        }
    }

    fn index_one(&mut self, id: &ProjectId) {
        let Some(mark) = self.projects.get(id).and_then(|entry| entry.mark) else {
            return;
        };
        let ids = self.by_mark.entry(mark).or_default();
        if !ids.contains(id) {
            ids.push(id.clone());
        }
    }

    /// What it says about one Tenant and its recorded project.
    pub fn facts(&self, tenant: TenantUid, project: Option<&ProjectId>) -> ListingFacts {
        let seen = |id: &ProjectId| self.projects.get(id).map(|entry| Seen::clone(&entry.seen));
        ListingFacts {
            as_of: self.as_of,
            done_at: self.done_at,
            own: project.and_then(seen),
            marked: self
                .by_mark
                .get(&tenant)
                .into_iter()
                .flatten()
                .filter_map(seen)
                .collect(),
            unavailable: project.is_some_and(|id| self.unavailable.contains(id)),
        }
    }

    /// Projects that bear the installation's mark and belong to none of these Tenants, as of the last listing.
    pub fn orphaned(&self, tenants: &HashSet<TenantUid>) -> BTreeSet<ProjectId> {
        let strangers = self
            .by_mark
            .iter()
            .filter(|(tenant, _)| !tenants.contains(tenant));
        // What we made after the listing began belongs to a Tenant that the caller's set may not have yet.
        strangers
            .flat_map(|(_, ids)| ids)
            .filter(|id| !self.noted.contains_key(*id))
            .cloned()
            .collect()
    }

    /// When the last complete listing began.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.as_of
    }

    /// How many calls the last complete listing took.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// How many projects the account has.
    pub fn len(&self) -> usize {
        self.projects.len()
    }

    /// Whether the account has no project.
    pub fn is_empty(&self) -> bool {
        self.projects.is_empty()
    }
}

#[cfg(test)]
mod tests;
