//! The migrations of each class: those in the binary or in the configured directory, those of the
//! `ConfigMap`s that the class names, or none.

use std::collections::HashMap;

use crds::{MigrationsSource, Reason, TenantClass};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use parking_lot::RwLock;
use service_kit::error_chain;

use crate::cluster::{ClusterApi, ClusterError};
use crate::issue::{Component, Issue};
use crate::migrations::MigrationSet;

pub struct MigrationSources {
    default: MigrationSet,
    by_class: RwLock<HashMap<String, LoadedMigrations>>,
}

struct LoadedMigrations {
    /// Generation of the class when its migrations were read.
    generation: Option<i64>,
    set: Result<MigrationSet, Issue>,
}

impl MigrationSources {
    /// Classes with the source `BuiltIn` use `default`.
    pub fn new(default: MigrationSet) -> Self {
        Self {
            default,
            by_class: RwLock::default(),
        }
    }

    /// The migrations of a class, or why they cannot be used. `None` until the class has been
    /// loaded.
    pub fn for_class(&self, class: &str) -> Option<Result<MigrationSet, Issue>> {
        self.by_class
            .read()
            .get(class)
            .map(|loaded| loaded.set.clone())
    }

    /// Whether the migrations were loaded for the current spec of the class.
    pub fn is_current(&self, class: &TenantClass) -> bool {
        self.by_class
            .read()
            .get(&class.name_any())
            .is_some_and(|loaded| loaded.generation == class.metadata.generation)
    }

    /// Reads the migrations of a class. An invalid ConfigMap is not an error here; it is recorded
    /// as the issue of the class.
    pub async fn load(
        &self,
        class: &TenantClass,
        cluster: &dyn ClusterApi,
    ) -> Result<(), ClusterError> {
        let set = match class.spec.migrations.source {
            MigrationsSource::BuiltIn => Ok(self.default.clone()),
            MigrationsSource::None => Ok(MigrationSet::unmanaged()),
            MigrationsSource::ConfigMap | MigrationsSource::ConfigMaps => {
                let mut config_maps = Vec::new();
                for source in class.spec.migrations.all_config_maps() {
                    let config_map = cluster.own_config_map(&source.name).await?;
                    config_maps.push((source.name.clone(), config_map));
                }
                read(config_maps, class, cluster.namespace()).await
            }
        };
        let generation = class.metadata.generation;
        self.by_class
            .write()
            .insert(class.name_any(), LoadedMigrations { generation, set });
        Ok(())
    }

    pub fn remove_class(&self, class: &str) {
        self.by_class.write().remove(class);
    }
}

async fn read(
    config_maps: Vec<(String, Option<ConfigMap>)>,
    class: &TenantClass,
    namespace: &str,
) -> Result<MigrationSet, Issue> {
    let invalid =
        |message: String| Issue::new(Component::Schema, Reason::MigrationsInvalid, message);
    let mut sources = Vec::new();
    let mut names = Vec::new();
    for (name, config_map) in config_maps {
        let Some(config_map) = config_map else {
            return Err(invalid(format!(
                "ConfigMap {name} does not exist in namespace {namespace}: create it, or correct spec.migrations of \
                 TenantClass {}",
                class.name_any()
            )));
        };
        sources.push(files_of(config_map));
        names.push(name);
    }
    // Large sets take a while to parse.
    let set = tokio::task::spawn_blocking(move || MigrationSet::from_sources(sources))
        .await
        .map_err(|error| invalid(error_chain(&error)))?;
    set.map_err(|error| {
        let kind = if names.len() == 1 {
            "ConfigMap"
        } else {
            "ConfigMaps"
        };
        invalid(format!(
            "{kind} {}: {}",
            names.join(", "),
            error_chain(&error)
        ))
    })
}

/// The files of a ConfigMap. Kubernetes clients store files that are not valid UTF-8 as binary data.
pub fn files_of(config_map: ConfigMap) -> Vec<(String, Vec<u8>)> {
    let text = config_map.data.unwrap_or_default().into_iter();
    let binary = config_map.binary_data.unwrap_or_default().into_iter();
    text.map(|(name, text)| (name, text.into_bytes()))
        .chain(binary.map(|(name, bytes)| (name, bytes.0)))
        .collect()
}
