//! The chat app and everything it stands on: a [`Cluster`], an S3 server, Redis, an OpenID provider or a local sign-in, an
//! OpenAI-compatible endpoint; the chart as helm installs it, and the app's processes with the rights that the chart gives.

mod behind;
mod options;
mod processes;
mod proxies;
mod shared;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use openai_stub::Stub;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Mutex;
use xtask::chat_app::release::{Models, NAMESPACE, Release, SignIn};
use xtask::chat_app::{self, ChatApp, ChatAppOptions};
use xtask::install;
use xtask::openid::OpenIdProvider;
use xtask::redis::Redis;
use xtask::s3::S3;
use xtask::visitor::Visitor;

pub use self::behind::tenant_name;
pub use self::options::SiteOptions;
use self::options::generous_limits;
pub use self::proxies::SiteProxies;
use self::proxies::database_url;
pub use self::shared::{Shared, Turn};
use crate::{Cluster, limits};

/// Where the app's Tenants are.
pub const TENANTS_NAMESPACE: &str = "chat-tenants";
/// Where files lie.
pub const BUCKET: &str = "documents";
/// The endpoint's key.
const MODELS_KEY: &str = "sk-of-the-tests";
/// Connections of a test to the main database.
const CONNECTIONS_MAX: u32 = 4;

/// A running site. Dropping it stops everything; [`Site::stop`] does so in order and waits.
pub struct Site {
    // In the order in which they must go.
    processes: Mutex<BTreeMap<&'static str, ChatApp>>,
    options: ChatAppOptions,
    separate_worker: bool,
    proxies: Option<SiteProxies>,
    openid: Option<OpenIdProvider>,
    redis: Option<Redis>,
    stub: Stub,
    s3: S3,
    database: PgPool,
    database_url: String,
    cluster: Cluster,
}

impl Site {
    /// Starts everything; when this returns, the app serves.
    pub async fn start(options: SiteOptions) -> Result<Self> {
        let cluster = Cluster::start(options.cluster.clone()).await?;
        tokio::time::timeout(limits::CLUSTER, Self::start_on(cluster, options))
            .await
            .with_context(|| format!("no app within {} s", limits::CLUSTER.as_secs()))?
    }

    async fn start_on(cluster: Cluster, options: SiteOptions) -> Result<Self> {
        let folder = cluster.folder().to_owned();
        let port = chat_app::port()?;
        let public_url = Release::public_url(port);
        let callback = format!("{public_url}/sign-in/callback");
        let (s3, redis, openid) = tokio::try_join!(
            S3::start(&folder),
            optional(options.redis, Redis::start(&folder)),
            optional(options.openid, OpenIdProvider::start(&folder, &callback)),
        )?;
        s3.create_bucket(BUCKET, &[&public_url]).await?;
        let stub = Stub::start(openai_stub::Config {
            api_key: Some(MODELS_KEY.into()),
            ..openai_stub::Config::default()
        })
        .await?;
        let local_model = if options.local_model {
            Some(tokio::task::spawn_blocking(install::local_model).await??)
        } else {
            None
        };
        let stub_url = stub.base_url();
        let mut settings = generous_limits();
        settings.extend(options.settings.clone());
        let client = cluster.client();
        let release = Release {
            client: &client,
            tenants_namespace: TENANTS_NAMESPACE,
            postgres_uri: cluster.postgres_uri(),
            s3: &s3,
            bucket: BUCKET,
            redis: redis.as_ref(),
            sign_in: openid
                .as_ref()
                .map_or(SignIn::Local, |provider| SignIn::OpenId {
                    issuer: provider.issuer(),
                    client_id: OpenIdProvider::CLIENT_ID,
                    client_secret: OpenIdProvider::CLIENT_SECRET,
                }),
            models: local_model.as_deref().map_or(
                Models::Endpoint {
                    url: &stub_url,
                    key: MODELS_KEY,
                },
                Models::Local,
            ),
            port,
            settings: &settings,
            folder: &folder,
        };
        let (account, mut app) = release.install(cluster.plane().helm()).await?;
        app.kubeconfig = cluster
            .plane()
            .service_account_kubeconfig(NAMESPACE, &account)
            .await?;
        let direct = database_url(&app)?;
        let proxies = if options.proxied {
            Some(SiteProxies::before(&mut app, &direct, &cluster, &folder).await?)
        } else {
            None
        };
        ChatApp::migrate(&app).await?;
        let database = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .connect_lazy(&direct)?;
        let site = Self {
            processes: Mutex::default(),
            options: app,
            separate_worker: options.separate_worker,
            proxies,
            openid,
            redis,
            stub,
            s3,
            database,
            database_url: direct,
            cluster,
        };
        site.start_app().await?;
        if options.separate_worker {
            site.start_worker().await?;
        }
        Ok(site)
    }

    // --- what runs ---

    /// What is underneath.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The S3 server.
    pub fn s3(&self) -> &S3 {
        &self.s3
    }

    /// The endpoint that embeds and answers.
    pub fn stub(&self) -> &Stub {
        &self.stub
    }

    /// The OpenID provider, where the options asked for one.
    pub fn openid(&self) -> Option<&OpenIdProvider> {
        self.openid.as_ref()
    }

    /// The proxies, where the options asked for them.
    pub fn proxies(&self) -> Result<&SiteProxies> {
        self.proxies
            .as_ref()
            .context("this site was started without proxies")
    }

    /// The main database, past any proxy.
    pub fn database(&self) -> &PgPool {
        &self.database
    }

    /// Where browsers reach the app.
    pub fn url(&self) -> String {
        Release::public_url(self.options.port)
    }

    /// What must not be shown: keys and passwords that the app was given.
    pub fn secrets(&self) -> Vec<String> {
        let (access_key, secret_key) = self.s3.keys();
        [MODELS_KEY, access_key, secret_key]
            .map(str::to_owned)
            .into()
    }

    /// How the app is started.
    pub fn options(&self) -> &ChatAppOptions {
        &self.options
    }

    /// Somebody who has never been here.
    pub fn visitor(&self) -> Result<Visitor> {
        Visitor::new(&self.url())
    }

    /// Somebody who signed in by name, with the workspace that this made, whose database is there.
    pub async fn newcomer(&self, name: &str) -> Result<(Visitor, String)> {
        let visitor = self.visitor()?;
        visitor.sign_in_by_name(name).await?;
        let workspace = visitor.workspace().await?;
        visitor
            .until_available(&workspace, limits::CONVERGE)
            .await?;
        Ok((visitor, workspace))
    }

    /// Leaves logs and data where they are when this ends, for a person to read.
    pub fn keep_folder(&mut self) {
        self.cluster.keep_folder();
    }

    /// Stops everything, in order.
    pub async fn stop(self) -> Result<()> {
        let processes = std::mem::take(&mut *self.processes.lock().await);
        futures::future::join_all(processes.into_values().map(ChatApp::terminate)).await;
        self.database.close().await;
        drop(self.stub);
        if let Some(openid) = self.openid {
            openid.stop().await;
        }
        if let Some(redis) = self.redis {
            redis.stop().await;
        }
        let emptied = self.s3.stop(BUCKET).await;
        self.cluster.stop().await;
        emptied
    }
}

async fn optional<T>(wanted: bool, start: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    if wanted {
        start.await.map(Some)
    } else {
        Ok(None)
    }
}
