//! The migrations of each class: those in the binary or in the configured directory, or those of
//! the ConfigMap that the class names.

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
    /// Classes that name no ConfigMap use `default`.
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
        let set = match (
            &class.spec.migrations.source,
            &class.spec.migrations.config_map,
        ) {
            (MigrationsSource::ConfigMap, Some(source)) => {
                let config_map = cluster.own_config_map(&source.name).await?;
                parse(&source.name, config_map, class, cluster.namespace())
            }
            _ => Ok(self.default.clone()),
        };
        let generation = class.metadata.generation;
        self.by_class
            .write()
            .insert(class.name_any(), LoadedMigrations { generation, set });
        Ok(())
    }

    /// Removes a deleted class.
    pub fn remove_class(&self, class: &str) {
        self.by_class.write().remove(class);
    }
}

fn parse(
    name: &str,
    config_map: Option<ConfigMap>,
    class: &TenantClass,
    namespace: &str,
) -> Result<MigrationSet, Issue> {
    let invalid =
        |message: String| Issue::new(Component::Schema, Reason::MigrationsInvalid, message);
    let Some(config_map) = config_map else {
        return Err(invalid(format!(
            "ConfigMap {name} does not exist in namespace {namespace}: create it, or correct spec.migrations of \
             TenantClass {}",
            class.name_any()
        )));
    };
    MigrationSet::from_files(config_map.data.unwrap_or_default())
        .map_err(|error| invalid(format!("ConfigMap {name}: {}", error_chain(&error))))
}
