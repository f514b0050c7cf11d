//! Creates a project, reads it in all ways, connects to it, and deletes it, even after a failure.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use neon_client::ids::{OrgId, ProjectId};
use neon_client::model::{CreateProject, CreatedProject, UpdateProject};
use neon_client::{ErrorKind, Neon};
use secrecy::ExposeSecret;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::shape::Shape;

/// The prefix of the names of test projects. It is followed by a UUID.
pub(crate) const NAME_PREFIX: &str = "emulator-conformance-";
/// Maximum time from the creation of a project until its operations have ended.
const READY_DEADLINE: Duration = Duration::from_mins(2);
/// Maximum time for a connection that may have to start a compute, and its queries.
const SQL_DEADLINE: Duration = Duration::from_secs(30);
/// Maximum time for a deletion, which waits for running operations.
const REMOVAL_DEADLINE: Duration = Duration::from_mins(2);
/// How long after an ambiguous creation the project may still appear, and how often to search for
/// it.
const AMBIGUITY_WINDOW: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// An API endpoint with its credentials.
pub(crate) struct Service {
    url: String,
    key: String,
    org_id: Option<OrgId>,
    http: reqwest::Client,
    pub(crate) neon: Neon,
}

impl Service {
    pub(crate) fn new(url: &str, key: &str, org_id: Option<OrgId>) -> Result<Self> {
        let builder = Neon::builder()
            .api_key(key.to_owned().into())
            .base_url(url.parse().context("the base URL")?)
            .org_id(org_id.clone());
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            key: key.to_owned(),
            org_id,
            http: reqwest::Client::new(),
            neon: builder.build()?,
        })
    }

    pub(crate) fn org_id(&self) -> Option<&str> {
        self.org_id.as_ref().map(OrgId::as_str)
    }

    /// The status and the body of a call; `null` if it is not JSON.
    pub(crate) async fn raw(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        let url = format!("{}{path}", self.url);
        let mut request = self.http.request(method, url).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or_default()))
    }

    /// The shape of all responses about one project, which has been deleted when this function
    /// returns.
    pub(crate) async fn shape(&self) -> Result<Shape> {
        let name = format!("{NAME_PREFIX}{}", Uuid::new_v4().simple());
        let mut request = CreateProject::named(&name);
        request.org_id.clone_from(&self.org_id);
        let created = self.neon.projects().create(request).send().await;
        let result = match &created {
            Ok(created) => self.read(created).await,
            Err(error) => Err(error.clone()).context("failed to create the project"),
        };
        let deletion = match &created {
            // Deleted by ID, because a listing may be stale or incomplete.
            Ok(created) => self.delete(&created.project.id).await,
            Err(error) => {
                self.delete_by_name(&name, error.kind() == ErrorKind::Ambiguous)
                    .await
            }
        };
        match (result, deletion) {
            (Ok(_), Err(error)) => Err(error.context(format!("search for {name} and delete it"))),
            (Err(error), Err(other)) => Err(error.context(format!(
                "failed to delete {name}, which may still exist: {other:#}"
            ))),
            (result, Ok(())) => result,
        }
    }

    /// Deletes all projects with this name. If it is unknown whether the project exists, retries
    /// for a while.
    async fn delete_by_name(&self, name: &str, unknown: bool) -> Result<()> {
        let limit = Instant::now()
            + if unknown {
                AMBIGUITY_WINDOW
            } else {
                Duration::ZERO
            };
        loop {
            let listing = self.neon.projects().list().search(name).all().await;
            let listing = listing.context("failed to list the projects")?;
            let matching = listing
                .projects
                .values()
                .filter(|project| project.name == name);
            let ids: Vec<ProjectId> = matching.map(|project| project.id.clone()).collect();
            for id in &ids {
                self.delete(id).await?;
            }
            if !ids.is_empty() || Instant::now() >= limit {
                return Ok(());
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Deletes a project, and verifies that it is deleted.
    async fn delete(&self, id: &ProjectId) -> Result<()> {
        let deletion = self.neon.projects().delete(id).timeout(REMOVAL_DEADLINE);
        match deletion.send().await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let deleted = self.neon.projects().get(id).send().await;
        let deleted = deleted.is_err_and(|error| error.kind() == ErrorKind::NotFound);
        ensure!(deleted, "{id} still exists after its deletion");
        Ok(())
    }

    async fn read(&self, created: &CreatedProject) -> Result<Shape> {
        let id = &created.project.id;
        let work = created.operations.iter().map(|operation| operation.id);
        let ready = self.neon.operations(id).wait(work).timeout(READY_DEADLINE);
        ready
            .done()
            .await
            .context("the project did not become ready")?;
        self.change(created)
            .await
            .context("failed to change the project")?;
        self.read_all(created)
            .await
            .context("failed to read the project")?;
        self.connect(created)
            .await
            .context("failed to connect to the project")?;

        let ids = Ids::of(created)?;
        let mut shape = Shape::default();
        shape.add(
            "POST /projects",
            &serde_json::to_value(created)?,
            &ids.all(),
        );
        for template in TEMPLATES {
            self.get(template, &ids, &mut shape)
                .await
                .with_context(|| format!("GET {template}"))?;
        }
        Ok(shape)
    }

    /// Changes the project and reads the changed value back.
    async fn change(&self, created: &CreatedProject) -> Result<()> {
        let (projects, id) = (self.neon.projects(), &created.project.id);
        let retention = 3_600_u32;
        let changes = UpdateProject::default().history_retention_seconds(retention);
        let updated = projects.update(id, changes).send().await?;
        let work = updated.operations.iter().map(|operation| operation.id);
        self.neon
            .operations(id)
            .wait(work)
            .timeout(READY_DEADLINE)
            .done()
            .await?;
        let now = projects.get(id).send().await?.history_retention_seconds;
        ensure!(
            now == Some(retention),
            "the retention must be {retention} s (got {now:?})"
        );
        Ok(())
    }

    /// Calls every read operation of the client, to verify that it can parse the responses.
    async fn read_all(&self, created: &CreatedProject) -> Result<()> {
        let (id, branch) = (&created.project.id, &created.branch.id);
        let branches = self.neon.branches(id).list().all().await?;
        ensure!(
            branches.iter().any(|one| &one.id == branch),
            "the branch is not listed"
        );
        self.neon.branches(id).get(branch).send().await?;
        let endpoints = self.neon.endpoints(id).list().send().await?;
        ensure!(!endpoints.is_empty(), "the project has no compute");
        self.neon.endpoints(id).get(&endpoints[0].id).send().await?;
        let databases = self.neon.databases(id, branch).list().send().await?;
        let roles = self.neon.roles(id, branch).list().send().await?;
        ensure!(
            !databases.is_empty() && !roles.is_empty(),
            "the project has no database or no role"
        );
        let page = self.neon.operations(id).list().first_page().send().await?;
        ensure!(!page.operations.is_empty(), "the project has no operations");
        self.neon.regions().list().send().await?;
        Ok(())
    }

    async fn connect(&self, created: &CreatedProject) -> Result<()> {
        let (database, role) = (&created.databases[..], &created.roles[..]);
        let (Some(database), Some(role)) = (database.first(), role.first()) else {
            bail!("the response to the creation contains no database or no role");
        };
        let projects = self.neon.projects();
        let call = projects.connection_uri(&created.project.id, &database.name, &role.name);
        let uri = call.send().await?.uri;
        let query = async {
            let mut connection = PgConnection::connect(uri.expose_secret()).await?;
            // Writing and reading in separate statements proves that the database works and that
            // its owner may create tables.
            sqlx::query("create table conformance as select 41 as answer")
                .execute(&mut connection)
                .await?;
            let response: i32 = sqlx::query_scalar("select answer + 1 from conformance")
                .fetch_one(&mut connection)
                .await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(response)
        };
        let response = timeout(SQL_DEADLINE, query).await;
        ensure!(
            response.context("no response in time")?? == 42,
            "the value that was read is not the one that was written"
        );
        Ok(())
    }

    /// Adds the raw response to the shape. Calls that the account may not make are recorded as
    /// rejected.
    async fn get(&self, template: &str, ids: &Ids<'_>, shape: &mut Shape) -> Result<()> {
        let url = format!("{}{}", self.url, ids.fill(template));
        let response = self.http.get(url).bearer_auth(&self.key).send().await?;
        let call = format!("GET {template}");
        match response.status().as_u16() {
            200 => shape.add(&call, &response.json::<Value>().await?, &ids.all()),
            400..=499 => shape.record_rejection(&call),
            status => bail!("status {status}"),
        }
        Ok(())
    }
}

/// The paths to read.
const TEMPLATES: [&str; 19] = [
    "/projects?limit=1&search={project}",
    "/projects/{project}",
    "/projects/{project}/connection_uri?database_name={database}&role_name={role}",
    "/projects/{project}/operations?limit=5",
    "/projects/{project}/operations/{operation}",
    "/projects/{project}/endpoints",
    "/projects/{project}/endpoints/{endpoint}",
    "/projects/{project}/branches",
    "/projects/{project}/branches/count",
    "/projects/{project}/branches/{branch}",
    "/projects/{project}/branches/{branch}/endpoints",
    "/projects/{project}/branches/{branch}/databases",
    "/projects/{project}/branches/{branch}/databases/{database}",
    "/projects/{project}/branches/{branch}/roles",
    "/projects/{project}/branches/{branch}/roles/{role}",
    "/projects/{project}/branches/{branch}/roles/{role}/reveal_password",
    "/regions",
    "/users/me",
    "/users/me/organizations",
];

/// The IDs in the response to a creation.
struct Ids<'a>([(&'static str, String); 6], [&'a str; 3]);

impl<'a> Ids<'a> {
    fn of(created: &'a CreatedProject) -> Result<Self> {
        let endpoint = created.endpoints.first().context("no compute")?;
        let operation = created.operations.first().context("no operation")?;
        let database = created.databases.first().context("no database")?;
        let role = created.roles.first().context("no role")?;
        let (project, branch) = (created.project.id.as_str(), created.branch.id.as_str());
        Ok(Self(
            [
                ("{project}", project.to_owned()),
                ("{branch}", branch.to_owned()),
                ("{endpoint}", endpoint.id.to_string()),
                ("{operation}", operation.id.to_string()),
                ("{database}", database.name.to_string()),
                ("{role}", role.name.to_string()),
            ],
            [project, branch, endpoint.id.as_str()],
        ))
    }

    fn all(&self) -> [&'a str; 3] {
        self.1
    }

    fn fill(&self, template: &str) -> String {
        let fill = |text: String, (name, id): &(&str, String)| text.replace(name, id);
        self.0.iter().fold(template.to_owned(), fill)
    }
}
