//! Installs the app's chart with helm, after creating its main database and its Secrets, and
//! derives from the rendered Deployment how to start the app as a process: with the arguments,
//! environment and permissions of the Pod.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::ChatAppOptions;
use crate::helm_template::ContainerSpec;
use crate::redis::Redis;
use crate::repository;
use crate::s3::S3;

/// The name of the release, the Deployment and the `ServiceAccount`.
pub const RELEASE: &str = "chat-app";
/// The namespace of the release.
pub const NAMESPACE: &str = "chat";
/// The name of the app's main database.
pub const DATABASE: &str = "chat_app";
const FIELD_MANAGER: &str = "local-stack";

#[derive(Debug, Clone, Copy)]
pub enum SignIn<'a> {
    /// By name, without a password.
    Local,
    OpenId {
        issuer: &'a str,
        client_id: &'a str,
        client_secret: &'a str,
    },
}

/// Where embeddings and answers come from.
#[derive(Debug, Clone, Copy)]
pub enum Models<'a> {
    /// The local embedding model in this folder; answers are extractive.
    Local(&'a Path),
    /// An OpenAI-compatible endpoint.
    Endpoint { url: &'a str, key: &'a str },
}

pub struct Release<'a> {
    /// A client with administrator permissions.
    pub client: &'a Client,
    /// The namespace of the app's Tenants; created if it does not exist.
    pub tenants_namespace: &'a str,
    /// The superuser's URI of the server that gets the main database.
    pub postgres_uri: &'a str,
    pub s3: &'a S3,
    /// An existing bucket.
    pub bucket: &'a str,
    /// Shares rate limits between replicas.
    pub redis: Option<&'a Redis>,
    pub sign_in: SignIn<'a>,
    pub models: Models<'a>,
    /// The port of the public URL.
    pub port: u16,
    /// Further settings of the app, by name.
    pub settings: &'a BTreeMap<String, Value>,
    pub folder: &'a Path,
}

impl Release<'_> {
    /// The app's URL for browsers.
    pub fn public_url(port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    /// Installs the release. `helm` must have administrator permissions. Returns the name of the
    /// `ServiceAccount`, and options whose `kubeconfig` the caller must set to one of that
    /// `ServiceAccount`.
    pub async fn install(&self, mut helm: Command) -> Result<(String, ChatAppOptions)> {
        let database = create_database(self.postgres_uri, DATABASE).await?;
        for name in [NAMESPACE, self.tenants_namespace] {
            self.apply_namespace(name).await?;
        }
        self.apply_secret(&database).await?;
        let values = self.folder.join("chat-app-values.json");
        crate::control_plane::write_private(&values, &self.values().to_string())?;
        helm.args(["install", RELEASE])
            .arg(repository().join("charts/chat-app"))
            .args(["--namespace", NAMESPACE, "--values"])
            .arg(&values);
        let output = tokio::task::spawn_blocking(move || helm.output()).await??;
        anyhow::ensure!(
            output.status.success(),
            "helm install of the app failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let container = ContainerSpec::read(self.client, NAMESPACE, RELEASE, self.folder).await?;
        let mut arguments = container.arguments.into_iter();
        arguments.next().context("the chart sets no subcommand")?;
        let options = ChatAppOptions {
            kubeconfig: PathBuf::new(),
            port: self.port,
            arguments: arguments.map(Into::into).collect(),
            environment: container
                .environment
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect(),
            log: self.folder.join("chat-app.log"),
        };
        Ok((container.service_account, options))
    }

    async fn apply_namespace(&self, name: &str) -> Result<()> {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        Api::<Namespace>::all(self.client.clone())
            .patch(
                name,
                &PatchParams::apply(FIELD_MANAGER),
                &Patch::Apply(object),
            )
            .await?;
        Ok(())
    }

    async fn apply_secret(&self, database: &str) -> Result<()> {
        let (access_key, secret_key) = self.s3.keys();
        let mut data = json!({
            "database": database, "access-key-id": access_key, "secret-access-key": secret_key,
        });
        if let SignIn::OpenId { client_secret, .. } = self.sign_in {
            data["oidc"] = json!(client_secret);
        }
        if let Models::Endpoint { key, .. } = self.models {
            data["models"] = json!(key);
        }
        if let Some(redis) = self.redis {
            data["redis"] = json!(redis.url());
        }
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": RELEASE}, "stringData": data,
        });
        Api::<Secret>::namespaced(self.client.clone(), NAMESPACE)
            .patch(
                RELEASE,
                &PatchParams::apply(FIELD_MANAGER),
                &Patch::Apply(object),
            )
            .await?;
        Ok(())
    }

    fn values(&self) -> Value {
        let mut config = json!({
            "s3-endpoint": self.s3.endpoint(),
            "s3-region": self.s3.region(),
            "s3-path-style": true,
            "bucket": self.bucket,
        });
        let from = |present: bool, key: &str| {
            let name = if present { RELEASE } else { "" };
            json!({"name": name, "key": key})
        };
        let mut endpoint = false;
        match self.models {
            Models::Local(folder) => config["local-model"] = json!(folder),
            Models::Endpoint { url, .. } => {
                config["openai-base-url"] = json!(url);
                endpoint = true;
            }
        }
        let mut openid = false;
        match self.sign_in {
            SignIn::Local => config["auth-mode"] = json!("local"),
            SignIn::OpenId {
                issuer, client_id, ..
            } => {
                config["oidc-issuer"] = json!(issuer);
                config["oidc-client-id"] = json!(client_id);
                openid = true;
            }
        }
        for (name, value) in self.settings {
            config[name] = value.clone();
        }
        json!({
            // The program of the image runs as a process.
            "image": {"repository": "chat-app"},
            "publicUrl": Self::public_url(self.port),
            "tenantsNamespace": self.tenants_namespace,
            "config": config,
            "secrets": {
                "database": from(true, "database"),
                "oidc": from(openid, "oidc"),
                "models": from(endpoint, "models"),
                "redis": from(self.redis.is_some(), "redis"),
                "objects": {
                    "name": RELEASE, "accessKeyIdKey": "access-key-id", "secretAccessKeyKey": "secret-access-key",
                },
            },
        })
    }
}

/// Creates an empty database on the server of `uri`, replacing an existing one. Returns its URI.
pub async fn create_database(uri: &str, name: &str) -> Result<String> {
    let mut connection = PgConnection::connect(uri).await?;
    for statement in [
        format!("drop database if exists {name} with (force)"),
        format!("create database {name}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .with_context(|| format!("failed to create the database {name}"))?;
    }
    connection.close().await?;
    let mut url = url::Url::parse(uri).context("failed to parse the server's URI")?;
    url.set_path(name);
    Ok(url.into())
}

/// Every row of every table of a database as text, to search for data that must not be there.
pub async fn dump_rows(uri: &str) -> Result<String> {
    let mut connection = PgConnection::connect(uri).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables \
         where schemaname not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut connection)
    .await?;
    let mut all = String::new();
    for table in tables {
        let rows = format!("select coalesce(string_agg(t::text, E'\\n'), '') from {table} t");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(rows))
            .fetch_one(&mut connection)
            .await?;
        all.push_str(&rows);
    }
    connection.close().await?;
    Ok(all)
}
