//! The chat app and everything it stands on: a [`Cluster`], an S3 server, Redis, an OpenID provider or a local sign-in, an
//! OpenAI-compatible endpoint; the chart as helm installs it, and the app's processes with the rights that the chart gives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use crds::Tenant;
use dev::chat_app::release::{self, DATABASE, Models, NAMESPACE, Release, SignIn};
use dev::chat_app::{self, ChatApp, ChatAppOptions, Role};
use dev::install;
use dev::openid::OpenIdProvider;
use dev::redis::Redis;
use dev::s3::S3;
use dev::visitor::Visitor;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use openai_stub::Stub;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::{Mutex, MutexGuard};

use crate::case::text;
use crate::cluster::through;
use crate::proxy::Proxy;
use crate::{Cluster, ClusterOptions, checks, limits, psql, suite};

/// Where the app's Tenants are.
pub const TENANTS_NAMESPACE: &str = "chat-tenants";
/// Where files lie.
pub const BUCKET: &str = "documents";
/// The endpoint's key.
const MODELS_KEY: &str = "sk-of-the-tests";
/// Connections of a test to the main database.
const CONNECTIONS_MAX: u32 = 4;
/// The variable with the main database's URI.
const DATABASE_VARIABLE: &str = "CHAT_APP_DATABASE_URL";

/// What a site should be like; by default: sign-in by name, the endpoint, everything in one process.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each names a server that is there or not, and all combinations make sense"
)]
pub struct SiteOptions {
    /// What is underneath.
    pub cluster: ClusterOptions,
    /// Sign in with an OpenID provider instead of by name alone.
    pub openid: bool,
    /// Count rate limits in Redis.
    pub redis: bool,
    /// Embed with the local model instead of the endpoint.
    pub local_model: bool,
    /// Put a [`Proxy`] before the app's main database and before its API server.
    pub proxied: bool,
    /// Read documents in a process of their own.
    pub separate_worker: bool,
    /// Further settings of the app, by their names.
    pub settings: BTreeMap<String, Value>,
}

impl SiteOptions {
    /// The same with another setting of the app.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }
}

/// Proxies between the app and what it stands on.
#[derive(Debug)]
pub struct SiteProxies {
    /// Before the main database.
    pub database: Proxy,
    /// Before the API server.
    pub kube: Proxy,
}

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

    // --- the app's processes ---

    /// Starts the pages (and jobs, unless they have a process of their own), and waits until they are served.
    pub async fn start_app(&self) -> Result<()> {
        let mut options = self.options.clone();
        if self.separate_worker {
            options
                .arguments
                .retain(|argument| !argument.to_string_lossy().starts_with("--workers"));
            options.arguments.push("--workers=0".into());
        }
        self.start_process("app", &options, Role::Serve).await
    }

    /// Starts the worker.
    pub async fn start_worker(&self) -> Result<()> {
        let mut options = self.options.clone();
        options.log = self.worker_log();
        self.start_process("worker", &options, Role::Worker).await
    }

    async fn start_process(
        &self,
        name: &'static str,
        options: &ChatAppOptions,
        role: Role,
    ) -> Result<()> {
        let mut processes = self.processes.lock().await;
        ensure!(
            !processes.contains_key(name),
            "a process {name} runs already"
        );
        let mut process = ChatApp::spawn(options, role)?;
        process.wait_until_ready().await?;
        processes.insert(name, process);
        Ok(())
    }

    async fn take(&self, name: &str) -> Result<ChatApp> {
        let taken = self.processes.lock().await.remove(name);
        taken.with_context(|| format!("no process {name} runs"))
    }

    /// Ends the worker as a power cut would.
    pub async fn kill_worker(&self) -> Result<()> {
        self.take("worker").await?.kill().await
    }

    /// Ends the pages as a power cut would.
    pub async fn kill_app(&self) -> Result<()> {
        self.take("app").await?.kill().await
    }

    /// `/metrics` of the pages.
    pub async fn metrics(&self) -> Result<String> {
        let processes = self.processes.lock().await;
        let app = processes.get("app").context("no app runs")?;
        app.metrics().await
    }

    /// The process id of the pages.
    pub async fn pid(&self) -> Option<u32> {
        self.processes.lock().await.get("app")?.pid()
    }

    fn worker_log(&self) -> PathBuf {
        self.cluster.folder().join("chat-app-worker.log")
    }

    /// The last lines of the app's logs, for a report of a failure.
    pub async fn log_tails(&self, lines: usize) -> String {
        let processes = self.processes.lock().await;
        let tails = processes
            .iter()
            .map(|(name, process)| format!("--- {name}\n{}\n", process.log_tail(lines)));
        tails.collect::<Vec<_>>().concat()
    }

    /// Every log of the app there ever was.
    pub fn logs(&self) -> Vec<PathBuf> {
        let logs = [self.options.log.clone(), self.worker_log()];
        logs.into_iter().filter(|log| log.exists()).collect()
    }

    // --- looking behind the pages ---

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

impl SiteProxies {
    /// Leads the app through proxies: rewrites its kubeconfig and its database's URI.
    async fn before(
        app: &mut ChatAppOptions,
        direct: &str,
        cluster: &Cluster,
        folder: &Path,
    ) -> Result<Self> {
        let mut url = url::Url::parse(direct)?;
        let database = Proxy::start(url.port().context("a URI without a port")?).await?;
        url.set_port(Some(database.port()))
            .map_err(|()| anyhow::anyhow!("the URI takes no port"))?;
        for (name, value) in &mut app.environment {
            if name == DATABASE_VARIABLE {
                *value = url.as_str().into();
            }
        }
        let server = url::Url::parse(&cluster.plane().url())?;
        let kube = Proxy::start(server.port().context("a URL without a port")?).await?;
        app.kubeconfig = through(&app.kubeconfig, folder, "chat-app", kube.port())?;
        Ok(Self { database, kube })
    }
}

/// The Tenant of a workspace, by name.
pub fn tenant_name(workspace: &str) -> String {
    format!("ws-{workspace}")
}

fn database_url(app: &ChatAppOptions) -> Result<String> {
    let found = app
        .environment
        .iter()
        .find(|(name, _)| name == DATABASE_VARIABLE);
    let (_, url) = found.with_context(|| format!("the chart sets no {DATABASE_VARIABLE}"))?;
    let url = url.to_str().context("the URI is not UTF-8")?.to_owned();
    ensure!(url.contains(DATABASE), "the app has another database");
    Ok(url)
}

/// Tests ask more often than people do.
fn generous_limits() -> BTreeMap<String, Value> {
    const MANY: &str = "60000/1m,60000/1m";
    [
        "pages",
        "changes",
        "searches",
        "uploads",
        "questions",
        "sign-ins",
        "heavy",
        "assets",
    ]
    .iter()
    .map(|kind| (format!("rate-{kind}"), json!(MANY)))
    .chain([("log-filter".to_owned(), json!("info,app=debug"))])
    .collect()
}

async fn optional<T>(wanted: bool, start: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    if wanted {
        start.await.map(Some)
    } else {
        Ok(None)
    }
}

/// A site that tests share. It is started by the first of them, and looked over and stopped after the last.
pub struct Shared {
    options: fn() -> SiteOptions,
    /// Whether its tests disturb it, and each other, so that one runs at a time.
    serial: bool,
    site: Mutex<Option<Arc<Site>>>,
    turn: Mutex<()>,
}

/// A test's time with the site.
pub struct Turn<'a> {
    /// The site.
    pub site: Arc<Site>,
    _turn: Option<MutexGuard<'a, ()>>,
}

impl Shared {
    /// For tests that leave each other alone.
    pub const fn new(options: fn() -> SiteOptions) -> Self {
        Self {
            options,
            serial: false,
            site: Mutex::const_new(None),
            turn: Mutex::const_new(()),
        }
    }

    /// For tests that take things away: one at a time.
    pub const fn serial(options: fn() -> SiteOptions) -> Self {
        Self {
            options,
            serial: true,
            site: Mutex::const_new(None),
            turn: Mutex::const_new(()),
        }
    }

    /// Waits for its turn, if there are turns.
    pub async fn turn(&self) -> Result<Turn<'_>> {
        let turn = if self.serial {
            Some(self.turn.lock().await)
        } else {
            None
        };
        let mut shared = self.site.lock().await;
        let site = match &*shared {
            Some(site) => Arc::clone(site),
            None => Arc::clone(shared.insert(Arc::new(Site::start((self.options)()).await?))),
        };
        Ok(Turn { site, _turn: turn })
    }

    /// Looks it over and stops it.
    pub async fn end(&self) -> Result<()> {
        let Some(site) = self.site.lock().await.take() else {
            return Ok(());
        };
        let checked = checks::site(&site).await;
        let mut site = Arc::into_inner(site).context("a test still holds the site")?;
        if std::env::var_os(suite::KEEP).is_some() {
            site.keep_folder();
            suite::say(&format!(
                "Logs are left in {}",
                site.cluster.folder().display()
            ));
        }
        site.stop().await?;
        checked
    }
}
