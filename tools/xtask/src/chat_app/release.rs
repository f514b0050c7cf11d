//! The app installed by helm, as a cluster has it: its main database, its bucket, its Secrets, the chart; and how its process
//! is then started, with the arguments, the environment and the rights that it would have as a Pod.

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
use crate::redis::Redis;
use crate::rendered::Rendered;
use crate::repository;
use crate::s3::S3;

/// The name of the release, of its Deployment and of its `ServiceAccount`.
pub const RELEASE: &str = "chat-app";
/// The namespace that the chart is installed into.
pub const NAMESPACE: &str = "chat";
/// The app's main database.
pub const DATABASE: &str = "chat_app";
const FIELD_MANAGER: &str = "dev";

/// How people sign in.
#[derive(Debug, Clone, Copy)]
pub enum SignIn<'a> {
    /// By name alone.
    Local,
    /// At this issuer, as this client with this password.
    OpenId {
        /// The issuer's URL.
        issuer: &'a str,
        /// As it knows the app.
        client_id: &'a str,
        /// The app's password with it.
        client_secret: &'a str,
    },
}

/// Who embeds and answers.
#[derive(Debug, Clone, Copy)]
pub enum Models<'a> {
    /// The local model embeds; answers are extracts.
    Local(&'a Path),
    /// An endpoint that speaks as OpenAI's does.
    Endpoint {
        /// Its base URL.
        url: &'a str,
        /// Its key.
        key: &'a str,
    },
}

/// What an installation stands on.
pub struct Release<'a> {
    /// An administrator of the cluster.
    pub client: &'a Client,
    /// Where the app's Tenants are; made if it is not there.
    pub tenants_namespace: &'a str,
    /// The server where the main database is made, by the URI of a superuser.
    pub postgres_uri: &'a str,
    /// Where files go.
    pub s3: &'a S3,
    /// The bucket, which exists.
    pub bucket: &'a str,
    /// Where replicas count rate limits together.
    pub redis: Option<&'a Redis>,
    /// How people sign in.
    pub sign_in: SignIn<'a>,
    /// Who embeds and answers.
    pub models: Models<'a>,
    /// Where browsers reach the app.
    pub port: u16,
    /// Further settings of the app, by their names.
    pub settings: &'a BTreeMap<String, Value>,
    /// The run's folder.
    pub folder: &'a Path,
}

impl Release<'_> {
    /// Where browsers reach the app.
    pub fn public_url(port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    /// Installs it. `helm` is helm with an administrator's rights. What is given back lacks the kubeconfig of the
    /// `ServiceAccount` that it names: whoever has the cluster gives it.
    pub async fn install(&self, mut helm: Command) -> Result<(String, ChatAppOptions)> {
        let database = main_database(self.postgres_uri, DATABASE).await?;
        for name in [NAMESPACE, self.tenants_namespace] {
            self.namespace(name).await?;
        }
        self.secrets(&database).await?;
        let values = self.folder.join("chat-app-values.json");
        crate::control_plane::write_private(&values, &self.values().to_string())?;
        helm.args(["install", RELEASE])
            .arg(repository().join("charts/chat-app"))
            .args(["--namespace", NAMESPACE, "--values"])
            .arg(&values);
        let output = tokio::task::spawn_blocking(move || helm.output()).await??;
        anyhow::ensure!(
            output.status.success(),
            "helm does not install the app: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let rendered = Rendered::read(self.client, NAMESPACE, RELEASE, self.folder).await?;
        let mut arguments = rendered.arguments.into_iter();
        arguments.next().context("the chart names no command")?;
        let options = ChatAppOptions {
            kubeconfig: PathBuf::new(),
            port: self.port,
            arguments: arguments.map(Into::into).collect(),
            environment: rendered
                .environment
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect(),
            log: self.folder.join("chat-app.log"),
        };
        Ok((rendered.service_account, options))
    }

    async fn namespace(&self, name: &str) -> Result<()> {
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

    async fn secrets(&self, database: &str) -> Result<()> {
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
            SignIn::Local => config["sign-in"] = json!("local"),
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

/// Makes the main database, empty, on the server of `uri`; gives its URI.
pub async fn main_database(uri: &str, name: &str) -> Result<String> {
    let mut connection = PgConnection::connect(uri).await?;
    for statement in [
        format!("drop database if exists {name} with (force)"),
        format!("create database {name}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .with_context(|| format!("the main database {name} cannot be made"))?;
    }
    connection.close().await?;
    let mut url = url::Url::parse(uri).context("the server's URI cannot be read")?;
    url.set_path(name);
    Ok(url.into())
}

/// Every row of every table of a database, as text: to look for what must not be there.
pub async fn all_rows(uri: &str) -> Result<String> {
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
