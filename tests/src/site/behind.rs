//! Looking behind the pages: Tenants, their Secrets and databases, rows, files.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use crds::Tenant;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use xtask::chat_app::release;

use super::{BUCKET, Site, TENANTS_NAMESPACE};
use crate::case::text;
use crate::psql;

impl Site {
    /// The Tenants of all workspaces.
    pub fn tenants(&self) -> Api<Tenant> {
        Api::namespaced(self.cluster.client(), TENANTS_NAMESPACE)
    }

    /// The Tenant of a workspace.
    pub async fn tenant(&self, workspace: &str) -> Result<Option<Tenant>> {
        Ok(self.tenants().get_opt(&tenant_name(workspace)).await?)
    }

    /// The connection Secret of a workspace, as text.
    pub async fn secret(&self, workspace: &str) -> Result<BTreeMap<String, String>> {
        let tenant = self.tenant(workspace).await?.context("no Tenant")?;
        let status = tenant.status.context("a Tenant without a status")?;
        let name = status.binding.context("a status without a Secret")?.name;
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client(), TENANTS_NAMESPACE);
        text(&secrets.get(&name).await?)
    }

    /// A query in a workspace's own database, with psql: rows by lines, columns with `|` between.
    pub async fn in_tenant(&self, workspace: &str, query: &str) -> Result<String> {
        let secret = self.secret(workspace).await?;
        psql::psql(&self.cluster, &secret, crds::keys::URI, query).await
    }

    /// Every row of the main database, as text.
    pub async fn all_rows(&self) -> Result<String> {
        release::all_rows(&self.database_url).await
    }

    /// A number from the main database.
    pub async fn count(&self, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(&self.database).await?)
    }

    /// Keys of all that the bucket keeps, versions and marks of deletion among them.
    pub async fn objects(&self) -> Result<Vec<String>> {
        let kept = self.s3.kept(BUCKET).await?;
        Ok(kept.into_iter().map(|(key, _)| key).collect())
    }
}

/// The Tenant of a workspace, by name.
pub fn tenant_name(workspace: &str) -> String {
    format!("ws-{workspace}")
}
