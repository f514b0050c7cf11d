//! Requests every route as a user without access. The tests iterate over the route table, so no
//! route can be forgotten. A new kind of path parameter fails until the test provides a value for
//! it.

mod access;
mod headers;

use app::domain::{Role, Workspace};
use app::ids::{DocumentId, InvitationId, MessageId, ThreadId, UserId, WorkspaceId};
use app::tenants::MIN_SCHEMA_VERSION;
use app::web::router::routes;
use app::web::shared::route::Route;
use axum::http::Method;
use crds::{Connection, ConnectionDetails, SSL_MODE};
use neon_client::model::{CreateProject, CreatedProject, ProjectEnvelope};
use neon_emulator::Emulator;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::PgPool;

use super::site::Site;
use crate::browser::{Answer, Browser};
use crate::emulator::Emulated;
use crate::fixture::TIMEOUT;

/// The resources of a workspace.
#[derive(Clone, Copy)]
struct Resources {
    document: DocumentId,
    invitation: InvitationId,
    thread: ThreadId,
    message: MessageId,
    user: UserId,
}

/// Workspace A has the members Alice and Bob, workspace B has Carol. Both have a database.
struct Matrix {
    site: Site,
    alice: Browser,
    bob: Browser,
    a: Workspace,
    b: Workspace,
    of_b: Resources,
    _emulator: Emulated,
}

/// The form fields of all routes, so that requests fail because of missing access and not because
/// of missing fields.
const FIELDS: [(&str, &str); 6] = [
    ("name", "New name"),
    ("title", "New title"),
    ("role", "member"),
    ("question", "What is it about?"),
    ("confirm", "anything"),
    ("confirmation", "anything"),
];

impl Matrix {
    async fn start() -> Self {
        let site = Site::with(&[
            "--rate-limit-reads=50000/1m,50000/1m",
            "--rate-limit-writes=50000/1m,50000/1m",
            "--rate-limit-expensive=50000/1m,50000/1m",
            "--rate-limit-uploads=50000/1m,50000/1m",
            "--rate-limit-questions=50000/1m,50000/1m",
            "--rate-limit-searches=50000/1m,50000/1m",
            "--rate-limit-sign-ins=50000/1m,50000/1m",
        ])
        .await;
        let alice = site.signed_in("alice").await;
        let bob = site.signed_in("bob").await;
        site.signed_in("carol").await;
        let carol = site.user("carol").await;
        let a = site.workspace_of(site.user("alice").await).await;
        let b = site.workspace_of(carol).await;
        // Delete Bob's personal workspace: he is a member of A only.
        sqlx::query("DELETE FROM workspaces WHERE id NOT IN ($1, $2)")
            .bind(a.id.as_str())
            .bind(b.id.as_str())
            .execute(&site.app.database)
            .await
            .unwrap();
        site.join(site.user("bob").await, &a.id, Role::Member).await;
        let emulator = Emulated::start().await;
        for workspace in [&a, &b] {
            give_database(&site, &emulator, workspace).await;
        }
        let of_b = resources(&site, &b, carol).await;
        Self {
            site,
            alice,
            bob,
            a,
            b,
            of_b,
            _emulator: emulator,
        }
    }

    /// The route's path in this workspace, with the ids of B's resources.
    fn path(&self, route: &Route, workspace: &WorkspaceId) -> String {
        fill(route.path, |name| match name {
            "workspace" => workspace.to_string(),
            "document" => self.of_b.document.to_string(),
            "invitation" => self.of_b.invitation.to_string(),
            "thread" => self.of_b.thread.to_string(),
            "message" => self.of_b.message.to_string(),
            "user" => self.of_b.user.to_string(),
            other => panic!("{}: no test value for {other}", route.path),
        })
    }
}

/// Replaces the parameters of a path pattern.
fn fill(pattern: &str, value: impl Fn(&str) -> String) -> String {
    pattern
        .split('/')
        .map(|part| {
            let name = part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'));
            name.map_or_else(|| part.to_owned(), &value)
        })
        .collect::<Vec<_>>()
        .join("/")
}

fn parameters(route: &Route) -> impl Iterator<Item = &'static str> {
    route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn in_workspaces() -> impl Iterator<Item = Route> {
    routes()
        .into_iter()
        .filter(|route| parameters(route).any(|name| name == "workspace"))
}

/// Sends a request with the route's method. The CSRF token is also in the header, for routes of
/// scripts.
async fn send(browser: &Browser, route: &Route, path: &str) -> Answer {
    let token = browser.csrf.clone();
    let mut browser = browser.clone().with("x-csrf-token", &token);
    if route.method == Method::GET {
        browser.get(path).await
    } else {
        browser.post(path, &FIELDS).await
    }
}

/// Creates a project with the tenant schema in the emulator, and the Secret and status that the
/// controller would write.
pub(crate) async fn give_database(site: &Site, emulator: &Emulator, workspace: &Workspace) {
    let http = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap();
    let project: CreatedProject = http
        .post(format!("{}/projects", emulator.api_url()))
        .bearer_auth(emulator.api_key())
        .json(&ProjectEnvelope {
            project: CreateProject::named(workspace.id.as_str()),
        })
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .expect("a project")
        .json()
        .await
        .expect("JSON");
    let parameters = &project.connection_uris[0].connection_parameters;
    let endpoint = &project.endpoints[0].id;
    let details = ConnectionDetails {
        connection: Connection {
            host: "127.0.0.1".to_owned(),
            pooled_host: "127.0.0.1".to_owned(),
            port: i32::from(emulator.data_addr().port()),
            database: "neondb".to_owned(),
            role: "neondb_owner".to_owned(),
            ssl_mode: SSL_MODE.to_owned(),
            options: Some(format!("endpoint={endpoint}")),
        },
        pooled_options: Some(format!("endpoint={endpoint}-pooler")),
        password: parameters.password.expose_secret().to_owned(),
        ca_crt: Some(emulator.ca_pem().to_owned()),
    };
    let secret = format!("ws-{}-connection", workspace.id);
    site.cluster.put(
        "secrets",
        &secret,
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": details.to_data() }),
    );
    let tenant = Site::tenant_name(&workspace.id);
    site.cluster
        .make_available(&tenant, &secret, MIN_SCHEMA_VERSION);
    site.until_database(workspace, Result::is_ok).await;
    let database = site.app.pools.get(workspace).await.expect("a database");
    migrate(database.pool()).await;
}

async fn migrate(database: &PgPool) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tenant-migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "sql"))
        .collect();
    files.sort();
    for file in files {
        let sql = std::fs::read_to_string(&file).unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(database)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// Inserts a document, an invitation and a conversation.
async fn resources(site: &Site, workspace: &Workspace, user: UserId) -> Resources {
    let resources = Resources {
        document: DocumentId::random(),
        invitation: InvitationId::random(),
        thread: ThreadId::random(),
        message: MessageId::random(),
        user,
    };
    let main = &site.app.database;
    sqlx::query(
        "INSERT INTO documents (id, workspace_id, file_name, title, media_type, byte_count, content_sha256, state, upload_deadline)
         VALUES ($1, $2, 'b.pdf', 'Of B', 'application/pdf', 10, sha256('b'), 'ready', now())",
    )
    .bind(resources.document.0)
    .bind(workspace.id.as_str())
    .execute(main)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO invitations (id, workspace_id, token_sha256, created_by, expires_at)
         VALUES ($1, $2, sha256('b'), $3, now() + interval '1 day')",
    )
    .bind(resources.invitation.0)
    .bind(workspace.id.as_str())
    .bind(user.0)
    .execute(main)
    .await
    .unwrap();
    let tenant = site.app.pools.get(workspace).await.expect("a database");
    sqlx::query("INSERT INTO threads (id, title, created_by) VALUES ($1, 'Of B', $2)")
        .bind(resources.thread.0)
        .bind(user.0)
        .execute(tenant.pool())
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO messages (id, thread_id, ordinal, author, state, text) VALUES ($1, $2, 0, 'person', 'complete', 'Why?')",
    )
    .bind(resources.message.0)
    .bind(resources.thread.0)
    .execute(tenant.pool())
    .await
    .unwrap();
    resources
}
