//! The app with a signed-in user whose workspace holds a document.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use app::config;
use app::domain::Workspace;
use app::ids::DocumentId;
use app::run::compose;
use app::telemetry::Metrics;
use app::web::router::router;
use app::web::shared::App;
use app::workspaces::store;
use axum::http::StatusCode;
use openai_stub::Stub;
use test_support::wait::until_true;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::support::{EMBEDDINGS, document, migrate, provide};
use crate::api_server::Cluster;
use crate::browser::Browser;
use crate::emulator::Emulated;
use crate::postgres::empty_database;

pub(crate) const QUESTION: &str = "How often must the pump filter be changed?";
const PAGES: [&str; 2] = [
    "This manual describes the circulation pump model seven.",
    "The filter must be changed every 500 hours of operation & after floods. Close both valves before the housing is opened.",
];

/// The app with a signed-in user whose workspace holds a document.
pub(crate) struct PageFixture {
    pub(crate) app: App,
    pub(crate) ada: Browser,
    pub(crate) workspace: Workspace,
    pub(crate) manual: DocumentId,
    pub(crate) stub: Stub,
    pub(crate) emulator: Emulated,
    _stop: DropGuard,
}

impl PageFixture {
    pub(crate) async fn start(piece_delay: Duration) -> Self {
        let stub = Stub::start(openai_stub::Config {
            piece_delay,
            ..openai_stub::Config::default()
        })
        .await
        .unwrap();
        let database = empty_database().await;
        let emulator = Emulated::start().await;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let cluster = Cluster::new();
        let config = settings(&database, &stub);
        app::database::migrate(&config.database)
            .await
            .expect("migrated");
        let app = compose(
            Arc::new(config),
            cluster.client(),
            Arc::new(Metrics::new()),
            &tasks,
            &stop,
        )
        .await
        .expect("parts");
        app.tenants.wait_until_synced().await;
        let mut ada = Browser::new(router(&app));
        ada.sign_in("Ada").await;
        let workspace = first_workspace(&app).await;
        provide(&cluster, &app.tenants, &emulator, &workspace).await;
        let tenant = app.pools.get(&workspace).await.expect("a database");
        migrate(&tenant).await;
        let manual = document(&tenant, "Pump manual", &PAGES).await;
        sqlx::query("UPDATE workspaces SET embedding_model = $1")
            .bind(EMBEDDINGS)
            .execute(&app.database)
            .await
            .unwrap();
        Self {
            app,
            ada,
            workspace,
            manual,
            stub,
            emulator,
            _stop: stop.drop_guard(),
        }
    }

    /// The browser of another member of the workspace.
    pub(crate) async fn member(&self, name: &str) -> Browser {
        let mut browser = Browser::new(router(&self.app));
        browser.sign_in(name).await;
        sqlx::query(
            "INSERT INTO members (workspace_id, user_id, role) SELECT $1, id, 'member' FROM users WHERE display_name = $2",
        )
        .bind(self.workspace.id.as_str())
        .bind(name)
        .execute(&self.app.database)
        .await
        .unwrap();
        browser
    }

    pub(crate) fn chat(&self) -> String {
        format!("/w/{}/chat", self.workspace.id)
    }

    /// Asks in a new conversation. Returns the URLs of the conversation and of the answer.
    pub(crate) async fn ask(&mut self) -> (String, String) {
        let asked = self
            .ada
            .post(&self.chat(), &[("question", QUESTION), ("document", "")])
            .await;
        assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.text);
        let thread = asked.location().to_owned();
        let page = self.ada.get(&thread).await;
        assert_eq!(page.status, StatusCode::OK);
        let events = page
            .after("sse-connect=\"")
            .expect("an answer to come")
            .to_owned();
        (thread, events.trim_end_matches("/events").to_owned())
    }

    /// Asks in a new conversation. Returns the final event of the answer's stream, and the page after
    /// the answer is complete.
    pub(crate) async fn streamed_and_reloaded(&mut self, question: &str) -> [String; 2] {
        let fields = [("question", question), ("document", "")];
        let thread = self.ada.post(&self.chat(), &fields).await;
        let thread = thread.location().to_owned();
        let page = self.ada.get(&thread).await;
        // The answer may already be complete.
        let answers = "<article class=\"message answer";
        let (_, answer) = page.text.split_once(answers).expect("an answer");
        let (_, id) = answer.split_once("id=\"message-").expect("its id");
        let (id, _) = id.split_once('"').expect("its id");
        let events = format!("{thread}/messages/{id}/events");
        let stream = self.ada.get(&events).await;
        let (_, streamed) = stream.text.split_once("event: done").expect("the end");
        let reloaded = self.ada.get(&thread).await;
        [streamed.to_owned(), reloaded.text]
    }
}

fn settings(database: &str, stub: &Stub) -> config::Config {
    let args = [
        "chat-app".to_owned(),
        "serve".to_owned(),
        "--bucket=files".to_owned(),
        "--public-url=http://127.0.0.1:8000".to_owned(),
        "--auth-mode=local".to_owned(),
        "--max-database-connections=4".to_owned(),
        format!("--openai-base-url={}", stub.base_url()),
    ];
    let env = BTreeMap::from([
        ("DATABASE_URL".to_owned(), database.to_owned()),
        ("OPENAI_API_KEY".to_owned(), "sk-test".to_owned()),
    ]);
    match config::load(args.map(OsString::from), &env).expect("settings") {
        config::Role::Serve(config) => *config,
        other => panic!("{other:?}"),
    }
}

/// The only user's workspace, once its Tenant is applied.
async fn first_workspace(app: &App) -> Workspace {
    let user: uuid::Uuid = sqlx::query_scalar("SELECT id FROM users")
        .fetch_one(&app.database)
        .await
        .unwrap();
    let find = || async {
        let all = store::of_user(&app.database, app::ids::UserId(user))
            .await
            .unwrap();
        all.into_iter()
            .map(|(workspace, _)| workspace)
            .find(|workspace| workspace.tenant_uid.is_some())
    };
    until_true("a Tenant", || async { find().await.is_some() }).await;
    find().await.unwrap()
}
