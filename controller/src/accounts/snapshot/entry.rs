//! A project of a listing: in compact form, and as the planner sees it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use neon_client::ids::ProjectId;
use neon_client::model::{AllowedIps, DefaultEndpointSettings, Project, Quota};

use crate::identity::{InstallationId, ProjectMark};

/// Maximum storage of a project that contains only Postgres' own catalogs.
const MAX_UNUSED_STORAGE_BYTES: i64 = 64 << 20;

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
    /// When a compute of the project was last active.
    pub last_active_at: Option<Timestamp>,
}

/// A project in compact form, because accounts have thousands.
#[derive(Clone, Debug)]
pub(super) struct ListingEntry {
    name: Arc<str>,
    created_at: Timestamp,
    updated_at: Timestamp,
    settings: Arc<ListedSettings>,
    unused: bool,
    pub(super) last_active_at: Option<Timestamp>,
    /// Whether the last listing shows the project, rather than an earlier one or a local write.
    pub(super) listed: bool,
    /// Whether the project's name contains a mark of this installation.
    is_marked: bool,
}

/// The settings of an [`ObservedProject`]. Most projects of a class have the same.
#[derive(Debug, PartialEq)]
struct ListedSettings {
    quota: Option<Quota>,
    allowed_ips: Option<BTreeSet<String>>,
    history_retention_seconds: Option<u32>,
    compute_defaults: Option<DefaultEndpointSettings>,
}

/// The newest distinct settings of a listing, so that projects with equal settings share them.
#[derive(Debug, Default)]
pub(super) struct RecentSettings(VecDeque<Arc<ListedSettings>>);

impl RecentSettings {
    /// More than the classes of a typical installation.
    const CAPACITY: usize = 16;

    /// Returns settings that were seen before, if any are equal to these.
    fn share(&mut self, settings: ListedSettings) -> Arc<ListedSettings> {
        if let Some(known) = self.0.iter().find(|known| ***known == settings) {
            return known.clone();
        }
        let settings = Arc::new(settings);
        self.0.truncate(Self::CAPACITY - 1);
        self.0.push_front(settings.clone());
        settings
    }
}

impl ListingEntry {
    pub(super) fn new(
        project: &Project,
        installation: &InstallationId,
        recent: &mut RecentSettings,
    ) -> Self {
        Self {
            name: project.name.as_str().into(),
            created_at: project.created_at,
            updated_at: project.updated_at,
            settings: recent.share(listed_settings(project)),
            unused: is_unused(project),
            last_active_at: project.compute_last_active_at,
            listed: false,
            is_marked: ProjectMark::parse(&project.name)
                .is_some_and(|mark| mark.installation == *installation),
        }
    }

    /// The mark in the project's name, if it is of this installation.
    pub(super) fn mark(&self) -> Option<ProjectMark> {
        ProjectMark::parse(&self.name).filter(|_| self.is_marked)
    }

    pub(super) fn observed(&self, id: &ProjectId) -> ObservedProject {
        let settings = &*self.settings;
        ObservedProject {
            id: id.clone(),
            name: self.name.to_string(),
            created_at: self.created_at,
            updated_at: self.updated_at.to_string(),
            quota: settings.quota,
            allowed_ips: settings.allowed_ips.clone(),
            history_retention_seconds: settings.history_retention_seconds,
            compute_defaults: settings.compute_defaults.clone(),
            unused: self.unused,
            last_active_at: self.last_active_at,
        }
    }
}

fn listed_settings(project: &Project) -> ListedSettings {
    let settings = project.settings.as_ref();
    ListedSettings {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(retention: u32) -> ListedSettings {
        ListedSettings {
            quota: None,
            allowed_ips: None,
            history_retention_seconds: Some(retention),
            compute_defaults: None,
        }
    }

    #[test]
    fn equal_settings_are_shared_and_only_the_recent_ones_are_kept() {
        let mut recent = RecentSettings::default();
        let first = recent.share(settings(0));
        assert!(Arc::ptr_eq(&first, &recent.share(settings(0))));
        for retention in 1..100 {
            recent.share(settings(retention));
        }
        assert_eq!(recent.0.len(), RecentSettings::CAPACITY);
        let again = recent.share(settings(0));
        assert!(!Arc::ptr_eq(&first, &again));
        assert_eq!(first, again);
    }
}
