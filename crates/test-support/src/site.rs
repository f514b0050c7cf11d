//! A chat app for tests, on a [`Cluster`] with an S3 server, Redis, an OpenID provider or sign-in
//! by name, and an OpenAI-compatible endpoint. The app's chart is installed by helm, and the app
//! runs as processes with the chart's permissions.

mod inspection;
mod options;
mod processes;
mod proxies;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use local_stack::chat_app::release::{Models, NAMESPACE, Release, SignIn};
use local_stack::chat_app::{self, ChatApp, ChatAppOptions};
use local_stack::http_client::AppClient;
use local_stack::openid::OpenIdProvider;
use local_stack::redis::Redis;
use local_stack::s3::S3;
use openai_stub::Stub;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Mutex;

pub use self::inspection::tenant_name;
pub use self::options::SiteOptions;
use self::options::test_settings;
pub use self::proxies::SiteProxies;
use self::proxies::database_url;
use crate::{Cluster, timeouts};

/// The namespace of the app's Tenants.
pub const TENANTS_NAMESPACE: &str = "chat-tenants";
pub const BUCKET: &str = "documents";
/// The API key of the model endpoint.
const MODELS_KEY: &str = "sk-of-the-tests";
/// The tests' connections to the main database.
const MAX_CONNECTIONS: u32 = 4;

/// A running site. Dropping it stops everything; [`Site::stop`] also waits.
pub struct Site {
    // In drop order.
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
    /// Starts everything and waits until the app is ready.
    pub async fn start(options: SiteOptions) -> Result<Self> {
        let cluster = Cluster::start(options.cluster.clone()).await?;
        tokio::time::timeout(timeouts::CLUSTER, Self::start_on(cluster, options))
            .await
            .with_context(|| {
                format!(
                    "the app did not start within {} s",
                    timeouts::CLUSTER.as_secs()
                )
            })?
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
            Some(tokio::task::spawn_blocking(installer::local_model).await??)
        } else {
            None
        };
        let stub_url = stub.base_url();
        let mut settings = test_settings();
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
            Some(SiteProxies::install(&mut app, &direct, &cluster, &folder).await?)
        } else {
            None
        };
        ChatApp::migrate(&app).await?;
        let database = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
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

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub fn s3(&self) -> &S3 {
        &self.s3
    }

    /// The endpoint for embeddings and answers.
    pub fn stub(&self) -> &Stub {
        &self.stub
    }

    /// The OpenID provider, if [`SiteOptions::openid`] is set.
    pub fn openid(&self) -> Option<&OpenIdProvider> {
        self.openid.as_ref()
    }

    /// The proxies; an error unless [`SiteOptions::proxied`] is set.
    pub fn proxies(&self) -> Result<&SiteProxies> {
        self.proxies.as_ref().context("the site has no proxies")
    }

    /// A pool of connections to the main database that bypass the proxy.
    pub fn database(&self) -> &PgPool {
        &self.database
    }

    /// The app's URL for browsers.
    pub fn url(&self) -> String {
        Release::public_url(self.options.port)
    }

    /// Keys that must not appear in logs.
    pub fn secrets(&self) -> Vec<String> {
        let (access_key, secret_key) = self.s3.keys();
        [MODELS_KEY, access_key, secret_key]
            .map(str::to_owned)
            .into()
    }

    pub fn options(&self) -> &ChatAppOptions {
        &self.options
    }

    /// A client without a session.
    pub fn client(&self) -> Result<AppClient> {
        AppClient::new(&self.url())
    }

    /// Signs up by name. Returns the client and its new workspace, whose database is available.
    pub async fn sign_up(&self, name: &str) -> Result<(AppClient, String)> {
        let client = self.client()?;
        client.sign_in_by_name(name).await?;
        let workspace = client.workspace().await?;
        client
            .wait_until_available(&workspace, timeouts::CONVERGE)
            .await?;
        Ok((client, workspace))
    }

    /// Keeps logs and data after the site stops.
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

async fn optional<T>(enabled: bool, start: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    if enabled {
        start.await.map(Some)
    } else {
        Ok(None)
    }
}
