//! One project's life at a service: made, looked at from all sides, connected to, removed. It is removed after a failure too.

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

/// How the projects of these tests begin their names; what follows is unlike any other's.
pub(crate) const NAME_PREFIX: &str = "emulator-conformance-";
/// From the creation until the operations of the project are over.
const READY_DEADLINE: Duration = Duration::from_mins(2);
/// A connection that may have to wake a compute, and a question.
const SQL_DEADLINE: Duration = Duration::from_secs(30);
/// A removal, which waits for operations that still run.
const REMOVAL_DEADLINE: Duration = Duration::from_mins(2);
/// How long after a creation of unknown fate its project may still appear, and how often it is looked for.
const SETTLE: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Where an API is, and whose.
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

    /// The shape of every answer about one project, which is gone when this returns.
    pub(crate) async fn shape(&self) -> Result<Shape> {
        let name = format!("{NAME_PREFIX}{}", Uuid::new_v4().simple());
        let mut wish = CreateProject::named(&name);
        wish.org_id.clone_from(&self.org_id);
        let created = self.neon.projects().create(wish).send().await;
        let lived = match &created {
            Ok(created) => self.look(created).await,
            Err(error) => Err(error.clone()).context("the project cannot be made"),
        };
        let removed = match &created {
            // By its id: a listing may lag, or not name it.
            Ok(created) => self.delete(&created.project.id).await,
            Err(error) => {
                self.remove_named(&name, error.kind() == ErrorKind::Ambiguous)
                    .await
            }
        };
        match (lived, removed) {
            (Ok(_), Err(error)) => Err(error.context(format!("look for {name} and delete it"))),
            (Err(error), Err(other)) => {
                Err(error.context(format!("and {name} may still be there: {other:#}")))
            }
            (lived, Ok(())) => lived,
        }
    }

    /// Deletes every project of this name. Where it is not known whether there is one, it is looked for a while.
    async fn remove_named(&self, name: &str, unknown: bool) -> Result<()> {
        let limit = Instant::now() + if unknown { SETTLE } else { Duration::ZERO };
        loop {
            let listing = self.neon.projects().list().search(name).all().await;
            let listing = listing.context("the account cannot be listed")?;
            let ours = listing
                .projects
                .values()
                .filter(|project| project.name == name);
            let ids: Vec<ProjectId> = ours.map(|project| project.id.clone()).collect();
            for id in &ids {
                self.delete(id).await?;
            }
            if !ids.is_empty() || Instant::now() >= limit {
                return Ok(());
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Deletes a project, and makes sure of it.
    async fn delete(&self, id: &ProjectId) -> Result<()> {
        let deletion = self.neon.projects().delete(id).timeout(REMOVAL_DEADLINE);
        match deletion.send().await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let gone = self.neon.projects().get(id).send().await;
        let gone = gone.is_err_and(|error| error.kind() == ErrorKind::NotFound);
        ensure!(gone, "{id} was deleted and is still there");
        Ok(())
    }

    async fn look(&self, created: &CreatedProject) -> Result<Shape> {
        let id = &created.project.id;
        let work = created.operations.iter().map(|operation| operation.id);
        let ready = self.neon.operations(id).wait(work).timeout(READY_DEADLINE);
        ready
            .done()
            .await
            .context("the project does not become ready")?;
        self.change(created).await.context("it cannot be changed")?;
        self.read_all(created)
            .await
            .context("the client cannot read it")?;
        self.connect(created)
            .await
            .context("it cannot be connected to")?;

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

    /// A change, and what was changed read back.
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
        ensure!(now == Some(retention), "the retention is {now:?} s");
        Ok(())
    }

    /// Every look that the client has, so that it is seen to understand the answers.
    async fn read_all(&self, created: &CreatedProject) -> Result<()> {
        let (id, branch) = (&created.project.id, &created.branch.id);
        let branches = self.neon.branches(id).list().all().await?;
        ensure!(
            branches.iter().any(|one| &one.id == branch),
            "its branch is not listed"
        );
        self.neon.branches(id).get(branch).send().await?;
        let endpoints = self.neon.endpoints(id).list().send().await?;
        ensure!(!endpoints.is_empty(), "it has no compute");
        self.neon.endpoints(id).get(&endpoints[0].id).send().await?;
        let databases = self.neon.databases(id, branch).list().send().await?;
        let roles = self.neon.roles(id, branch).list().send().await?;
        ensure!(
            !databases.is_empty() && !roles.is_empty(),
            "it has no database or no role"
        );
        let page = self.neon.operations(id).list().first_page().send().await?;
        ensure!(!page.operations.is_empty(), "it has no operations");
        self.neon.regions().list().send().await?;
        Ok(())
    }

    async fn connect(&self, created: &CreatedProject) -> Result<()> {
        let (database, role) = (&created.databases[..], &created.roles[..]);
        let (Some(database), Some(role)) = (database.first(), role.first()) else {
            bail!("the creation names no database or no role");
        };
        let projects = self.neon.projects();
        let call = projects.connection_uri(&created.project.id, &database.name, &role.name);
        let uri = call.send().await?.uri;
        let asked = async {
            let mut connection = PgConnection::connect(uri.expose_secret()).await?;
            // Written in one statement and read in another: it is a database, and its owner may make tables.
            sqlx::query("create table conformance as select 41 as answer")
                .execute(&mut connection)
                .await?;
            let answer: i32 = sqlx::query_scalar("select answer + 1 from conformance")
                .fetch_one(&mut connection)
                .await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(answer)
        };
        let answer = timeout(SQL_DEADLINE, asked).await;
        ensure!(
            answer.context("no answer in time")?? == 42,
            "what was written is not what is read"
        );
        Ok(())
    }

    /// Adds the answer, as it came, to the shape. What an account may not ask for is noted as refused.
    async fn get(&self, template: &str, ids: &Ids<'_>, shape: &mut Shape) -> Result<()> {
        let url = format!("{}{}", self.url, ids.fill(template));
        let response = self.http.get(url).bearer_auth(&self.key).send().await?;
        let call = format!("GET {template}");
        match response.status().as_u16() {
            200 => shape.add(&call, &response.json::<Value>().await?, &ids.all()),
            400..=499 => shape.refuse(&call),
            status => bail!("status {status}"),
        }
        Ok(())
    }
}

/// What is looked at.
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

/// The identifiers that a creation named.
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
