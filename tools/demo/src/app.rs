//! The chat app in the demo, with sign-in by name and the local model, so that it needs no account
//! anywhere; and a smoke test of the app.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::Tenant;
use kube::Api;
use local_stack::chat_app::release::{self, Models, NAMESPACE, Release, SignIn};
use local_stack::chat_app::{self, ChatApp, Role};
use local_stack::control_plane::client_for;
use local_stack::http_client::AppClient;
use local_stack::postgres::Postgres;
use local_stack::s3::S3;
use local_stack::sample_pdf;

use crate::cluster::Cluster;
use crate::output::say;
use crate::smoke_test;

/// The namespace of the app's Tenants.
pub(crate) const TENANTS_NAMESPACE: &str = "chat-tenants";
pub(crate) const BUCKET: &str = "db-per-tenant-demo";
/// From the sign-up until the database is available, which takes seconds on an idle machine.
const AVAILABLE_TIMEOUT: Duration = Duration::from_mins(2);
/// From the upload until the document is searchable. The app loads the model in this time.
const INGESTION_TIMEOUT: Duration = Duration::from_mins(2);
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// How many lines of the app's log a failure report quotes.
const LOG_TAIL_LINES: usize = 40;
const FILE_NAME: &str = "Lighthouse.pdf";
/// Three pages of text. The answer to [`QUESTION`] is on the second.
const PAGES: [&str; 3] = [
    "The lighthouse of Port Ellery\n\
     \n\
     This leaflet is for visitors of the lighthouse on the northern cliff of Port Ellery.\n\
     The first light here was a fire of driftwood in an iron basket, kept by the monks of\n\
     the priory on winter nights. It was paid for by a tax on herring, and went out for\n\
     good when the priory was closed. For two centuries ships found the harbour by luck,\n\
     by the smell of the smokehouses, or not at all; the graveyard of Saint Ellery tells\n\
     how often it was not at all. After the loss of the brig Margaret with all hands the\n\
     merchants of the town collected money for a proper light, and the harbour board,\n\
     which had refused for thirty years, gave the land. Their names are on the plate\n\
     beside the door, in the order of what each of them gave.",
    "Measurements\n\
     \n\
     The tower of the lighthouse is 47 metres tall and was built of grey granite in 1871.\n\
     Its walls are three metres thick at the foot and less than one at the gallery. The\n\
     lamp burned whale oil at first, then paraffin, and has been electric since 1928; the\n\
     lens in front of it, with its four hundred prisms, is still the first one. The light\n\
     can be seen from 21 nautical miles away in clear weather and turns once in fifteen\n\
     seconds. In fog a horn sounds twice a minute, which the people of the town say they\n\
     do not hear any more. The tower leans by eleven centimetres to the east, measured\n\
     every spring by the harbour board with a plumb line of copper wire, and has not\n\
     moved since the measurements began.",
    "Visiting\n\
     \n\
     Doors are open from April to October, every day but Monday, from ten in the morning\n\
     to five in the afternoon. A ticket costs four crowns, and children under twelve go\n\
     free if somebody holds their hand. The climb has 213 steps and there is no lift; a\n\
     bench stands on every third landing. From the gallery one sees the islands, on good\n\
     days the mainland, and below the kitchen gardens of the keepers, who sell jam at the\n\
     gate. Dogs wait outside, where there is water for them. The bus from the station\n\
     leaves every hour at twenty past and takes a quarter of an hour. Those who walk\n\
     should follow the path along the cliff and stay behind the rope. The keepers ask not\n\
     to feed the gulls, who do not need it and remember faces.",
];
const QUESTION: &str = "How tall is the tower of the lighthouse?";
const ANSWER_PAGE: u32 = 2;
const ANSWER: &str = "47 metres tall";

/// Installs and starts the app.
pub(crate) async fn start(
    cluster: &Cluster,
    postgres: &Postgres,
    s3: &S3,
    folder: &Path,
) -> Result<ChatApp> {
    let port = chat_app::port()?;
    s3.create_bucket(BUCKET, &[&Release::public_url(port)])
        .await?;
    let model = tokio::task::spawn_blocking(installer::local_model).await??;
    let client = client_for(cluster.kubeconfig()).await?;
    let release = Release {
        client: &client,
        tenants_namespace: TENANTS_NAMESPACE,
        postgres_uri: postgres.uri(),
        s3,
        bucket: BUCKET,
        redis: None,
        sign_in: SignIn::Local,
        models: Models::Local(&model),
        port,
        settings: &BTreeMap::new(),
        folder,
    };
    let (account, mut options) = release.install(cluster.helm(&[])).await?;
    options.kubeconfig = cluster
        .service_account_kubeconfig(NAMESPACE, &account)
        .await?;
    ChatApp::migrate(&options).await?;
    let mut app = ChatApp::spawn(&options, Role::Serve)?;
    app.wait_until_ready().await?;
    Ok(app)
}

/// Signs up, uploads a PDF, asks a question about it, and checks in which database the data is.
pub(crate) async fn smoke_test(
    app: &ChatApp,
    cluster: &Cluster,
    postgres: &Postgres,
    path: &Path,
) -> Result<()> {
    let ada = AppClient::new(&app.url(""))?;
    ada.sign_in_by_name("Ada").await?;
    let workspace = ada.workspace().await?;
    let text = ada
        .wait_until_available(&workspace, AVAILABLE_TIMEOUT)
        .await?;
    let timings = text
        .split_once("Ready in")
        .map_or(&*text, |(_, timings)| timings);
    let timings = timings.split(" . ").next().unwrap_or(timings);
    say(&format!(
        "  Ada signed up; her database was ready in{}.",
        timings.replace(" ,", ",")
    ))?;

    let file = sample_pdf(&PAGES);
    let document = ada.upload(&workspace, FILE_NAME, &file).await?;
    let row = ada
        .wait_until_ready(&workspace, &document, INGESTION_TIMEOUT)
        .await?;
    let line = row.text.split(" just now").next().unwrap_or(&row.text);
    say(&format!("  She uploaded a PDF and can search it: {line}"))?;

    let answer = ada.ask(&workspace, QUESTION, ANSWER_TIMEOUT).await?;
    let citation = format!("/w/{workspace}/documents/{document}/file#page={ANSWER_PAGE}");
    ensure!(
        answer.html().contains(&citation) && answer.text().contains(ANSWER),
        "the answer does not cite page {ANSWER_PAGE}: {}",
        answer.text()
    );
    say(&format!(
        "  She asked {QUESTION:?}, and the answer cites page {ANSWER_PAGE}: \"... {ANSWER} ...\""
    ))?;
    open_citation(&ada, &citation, &file).await?;

    let counts = tenant_database_counts(cluster, &workspace, path).await?;
    ensure!(
        counts == "t|t|2",
        "the tenant's database must have chunks, a vector for each, and 2 messages (got {counts})"
    );
    check_main_database(postgres).await?;
    say("  Her passages, vectors and messages are in her own database and not in the app's.")
}

/// Opens a citation: the app redirects to the file.
async fn open_citation(client: &AppClient, citation: &str, file: &[u8]) -> Result<()> {
    let path = citation.split('#').next().unwrap_or_default();
    let response = client.fetch(reqwest::Method::GET, path).await?;
    let location = response.headers().get("location").with_context(|| {
        format!(
            "the citation does not redirect to the file: {}",
            response.status()
        )
    })?;
    let opened = reqwest::get(location.to_str()?).await?.error_for_status()?;
    ensure!(
        opened.bytes().await? == file,
        "the citation opens a different file"
    );
    Ok(())
}

/// Whether the Tenant's database has chunks and as many vectors, and its number of messages.
async fn tenant_database_counts(cluster: &Cluster, workspace: &str, path: &Path) -> Result<String> {
    let client = client_for(cluster.kubeconfig()).await?;
    let tenants: Api<Tenant> = Api::namespaced(client, TENANTS_NAMESPACE);
    let tenant = tenants.get(&format!("ws-{workspace}")).await?;
    let binding = tenant.status.and_then(|status| status.binding);
    let secret = binding.context("the Tenant's status names no Secret")?.name;
    let counts = "select (select count(*) > 0 from chunks), \
        (select count(*) from chunks) = (select count(*) from chunk_embeddings), (select count(*) from messages)";
    smoke_test::query(cluster, (TENANTS_NAMESPACE, &secret), counts, path).await
}

/// Checks that no row of the main database contains text of the file or of the question.
async fn check_main_database(postgres: &Postgres) -> Result<()> {
    let mut url = url::Url::parse(postgres.uri())?;
    url.set_path(release::DATABASE);
    let dump = release::dump_rows(url.as_str()).await?;
    ensure!(
        dump.contains(FILE_NAME),
        "the dump of the main database must contain the file's name, or this check proves nothing"
    );
    ensure!(
        !dump.contains("metres") && !dump.contains("How tall"),
        "the main database contains text of the file or of the question"
    );
    Ok(())
}

/// The last lines of the app's log, for a failure report.
pub(crate) fn log_tail(app: &ChatApp) -> String {
    format!(
        "--- app ({})\n{}",
        app.log_file().display(),
        app.log_tail(LOG_TAIL_LINES)
    )
}
