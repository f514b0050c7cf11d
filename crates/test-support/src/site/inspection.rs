//! Inspects what the app's pages do not show: Tenants, Secrets, databases and objects.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use crds::Tenant;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use local_stack::chat_app::release;

use super::{BUCKET, Site, TENANTS_NAMESPACE};
use crate::objects::secret_text;
use crate::psql;

impl Site {
    pub fn tenants(&self) -> Api<Tenant> {
        Api::namespaced(self.cluster.client(), TENANTS_NAMESPACE)
    }

    pub async fn tenant(&self, workspace: &str) -> Result<Option<Tenant>> {
        Ok(self.tenants().get_opt(&tenant_name(workspace)).await?)
    }

    /// The data of a workspace's connection Secret.
    pub async fn secret_data(&self, workspace: &str) -> Result<BTreeMap<String, String>> {
        let tenant = self
            .tenant(workspace)
            .await?
            .context("the workspace has no Tenant")?;
        let status = tenant.status.context("the Tenant has no status")?;
        let name = status.binding.context("the status names no Secret")?.name;
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client(), TENANTS_NAMESPACE);
        secret_text(&secrets.get(&name).await?)
    }

    /// Runs a query in a workspace's database with psql. Returns one row per line, columns
    /// separated by `|`.
    pub async fn query_tenant_database(&self, workspace: &str, query: &str) -> Result<String> {
        let secret = self.secret_data(workspace).await?;
        psql::query(&self.cluster, &secret, crds::keys::URI, query).await
    }

    /// Every row of the main database as text.
    pub async fn dump_main_database(&self) -> Result<String> {
        release::dump_rows(&self.database_url).await
    }

    /// The integer that a query on the main database returns.
    pub async fn count(&self, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(&self.database).await?)
    }

    /// The keys of all object versions and delete markers in the bucket.
    pub async fn object_keys(&self) -> Result<Vec<String>> {
        let versions = self.s3.object_versions(BUCKET).await?;
        Ok(versions.into_iter().map(|(key, _)| key).collect())
    }
}

/// The name of a workspace's Tenant.
pub fn tenant_name(workspace: &str) -> String {
    format!("ws-{workspace}")
}
