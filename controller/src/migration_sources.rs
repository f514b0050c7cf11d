//! Which migrations the Tenants of a class get: built in, from a directory, or from a ConfigMap the class names.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crds::{MigrationsSource, Reason, TenantClass};
use kube::ResourceExt;
use service_kit::error_chain;

use crate::cluster::{Cluster, ClusterError};
use crate::migrations::SchemaSet;
use crate::tenant::desired::Refusal;

/// The migrations of every class.
pub struct Schemas {
    built_in: SchemaSet,
    by_class: RwLock<HashMap<String, Loaded>>,
}

/// What was read for a class, and for which spec of it.
struct Loaded {
    generation: Option<i64>,
    set: Result<SchemaSet, Refusal>,
}

impl Schemas {
    /// `built_in` is what classes get that name no ConfigMap.
    pub fn new(built_in: SchemaSet) -> Self {
        Self {
            built_in,
            by_class: RwLock::default(),
        }
    }

    /// The migrations of a class, or what is wrong with them; `None` while the class was not looked at yet.
    pub fn of_class(&self, class: &str) -> Option<Result<SchemaSet, Refusal>> {
        self.by_class
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(class)
            .map(|loaded| loaded.set.clone())
    }

    /// Whether what was last read was read for the spec that the class has now.
    pub fn is_current(&self, class: &TenantClass) -> bool {
        self.by_class
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&class.name_any())
            .is_some_and(|loaded| loaded.generation == class.metadata.generation)
    }

    /// Reads the migrations that the class names. Says whether they are others than before.
    pub async fn load(&self, class: &TenantClass, cluster: &Cluster) -> Result<bool, ClusterError> {
        let set = match (
            &class.spec.migrations.source,
            &class.spec.migrations.config_map,
        ) {
            (MigrationsSource::ConfigMap, Some(config_map)) => {
                read(&config_map.name, class, cluster).await?
            }
            _ => Ok(self.built_in.clone()),
        };
        let digest = |set: &Result<SchemaSet, Refusal>| {
            set.as_ref()
                .map(|set| set.digest().to_owned())
                .map_err(Clone::clone)
        };
        let now = digest(&set);
        let generation = class.metadata.generation;
        let before = self
            .by_class
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(class.name_any(), Loaded { generation, set });
        Ok(before.as_ref().map(|before| digest(&before.set)) != Some(now))
    }

    /// Forgets a class that is gone.
    pub fn forget(&self, class: &str) {
        self.by_class
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(class);
    }
}

async fn read(
    name: &str,
    class: &TenantClass,
    cluster: &Cluster,
) -> Result<Result<SchemaSet, Refusal>, ClusterError> {
    let invalid = |message: String| {
        Err(Refusal {
            reason: Reason::MigrationsInvalid,
            message,
        })
    };
    let Some(config_map) = cluster.own_config_map(name).await? else {
        return Ok(invalid(format!(
            "there is no ConfigMap {name} in namespace {}: make it, or correct spec.migrations of TenantClass {}",
            cluster.namespace(),
            class.name_any()
        )));
    };
    let files = config_map.data.unwrap_or_default();
    Ok(SchemaSet::from_files(files)
        .or_else(|error| invalid(format!("ConfigMap {name}: {}", error_chain(&error)))))
}
