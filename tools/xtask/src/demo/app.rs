//! The app in the demo: installed with its chart beside the controller, with a local sign-in and a local model, so that no
//! account is needed anywhere; and the proof that it does what it promises.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use crds::Tenant;
use kube::Api;

use super::cluster::Cluster;
use super::run::output;
use super::{proof, say};
use crate::chat_app::release::{self, Models, NAMESPACE, Release, SignIn};
use crate::chat_app::{self, ChatApp, Role};
use crate::control_plane::client_for;
use crate::postgres::Postgres;
use crate::s3::S3;
use crate::visitor::Visitor;
use crate::{install, sample_pdf};

/// Where the app's Tenants are, and nothing else.
pub(super) const TENANTS: &str = "chat-tenants";
/// Where files lie.
pub(super) const BUCKET: &str = "db-per-tenant-demo";
/// From sign-up to a database; some seconds when the machine is idle.
const AVAILABLE_LIMIT: Duration = Duration::from_mins(2);
/// From upload to searchable; the model is loaded on the way.
const SEARCHABLE_LIMIT: Duration = Duration::from_mins(2);
/// From question to answer.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// How much of its log a failing demo shows.
const LOG_TAIL_LINES: usize = 40;
const FILE_NAME: &str = "Lighthouse.pdf";
/// A file of three pages; what is asked for stands on the second.
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
const PAGE: u32 = 2;
const WORDS: &str = "47 metres tall";

/// Installs the app and starts it.
pub(super) async fn start(
    cluster: &Cluster,
    postgres: &Postgres,
    s3: &S3,
    folder: &Path,
) -> Result<ChatApp> {
    let port = chat_app::port()?;
    s3.create_bucket(BUCKET, &[&Release::public_url(port)])
        .await?;
    let model = tokio::task::spawn_blocking(install::local_model).await??;
    let client = client_for(cluster.kubeconfig()).await?;
    let release = Release {
        client: &client,
        tenants_namespace: TENANTS,
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

/// Signs up, brings a PDF, asks it, and looks where everything went.
pub(super) async fn prove(
    app: &ChatApp,
    cluster: &Cluster,
    postgres: &Postgres,
    path: &Path,
) -> Result<()> {
    let ada = Visitor::new(&app.url(""))?;
    ada.sign_in_by_name("Ada").await?;
    let workspace = ada.workspace().await?;
    let said = ada.until_available(&workspace, AVAILABLE_LIMIT).await?;
    let line = said.split_once("Ready in").map_or(&*said, |(_, line)| line);
    let line = line.split(" . ").next().unwrap_or(line).replace(" ,", ",");
    say(&format!("  Ada signed up and had her database in{line}."))?;

    let file = sample_pdf(&PAGES);
    let document = ada.upload(&workspace, FILE_NAME, &file).await?;
    let row = ada
        .until_ready(&workspace, &document, SEARCHABLE_LIMIT)
        .await?;
    let line = row.words.split(" just now").next().unwrap_or(&row.words);
    say(&format!("  She brought a PDF, and can search it: {line}"))?;

    let answer = ada.ask(&workspace, QUESTION, ANSWER_LIMIT).await?;
    let citation = format!("/w/{workspace}/documents/{document}/file#page={PAGE}");
    ensure!(
        answer.text().contains(&citation) && answer.words().contains(WORDS),
        "the answer does not cite page {PAGE}: {}",
        answer.words()
    );
    say(&format!(
        "  She asked {QUESTION:?} and was shown page {PAGE}: \"... {WORDS} ...\""
    ))?;
    open_the_page(&ada, &citation, &file).await?;

    let chunks = chunks_in_the_tenants_database(cluster, &workspace, path).await?;
    ensure!(
        chunks == "t|t|2",
        "chunks, a vector for each, and messages in the tenant's database: {chunks}"
    );
    nothing_in_the_main_database(postgres).await?;
    say(
        "  Her passages, vectors and messages are in her database, and nothing of them in the app's own.",
    )
}

/// What a click on the citation does: the app leads to the file itself.
async fn open_the_page(visitor: &Visitor, citation: &str, file: &[u8]) -> Result<()> {
    let path = citation.split('#').next().unwrap_or_default();
    let answer = visitor.answer(reqwest::Method::GET, path).await?;
    let place = answer
        .headers()
        .get("location")
        .with_context(|| format!("the citation leads nowhere: {}", answer.status()))?;
    let opened = reqwest::get(place.to_str()?).await?.error_for_status()?;
    ensure!(
        opened.bytes().await? == file,
        "the citation opens another file"
    );
    Ok(())
}

async fn chunks_in_the_tenants_database(
    cluster: &Cluster,
    workspace: &str,
    path: &Path,
) -> Result<String> {
    let tenants: Api<Tenant> = Api::namespaced(client_for(cluster.kubeconfig()).await?, TENANTS);
    let tenant = tenants.get(&format!("ws-{workspace}")).await?;
    let binding = tenant.status.and_then(|status| status.binding);
    let secret = binding.context("the Tenant names no Secret")?.name;
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!(
                "{} --no-psqlrc --tuples-only --no-align --command \"$PROBE\"",
                proof::psql_line(TENANTS, &secret)
            ),
        ])
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("PATH", path)
        .env("PROBE", "select (select count(*) > 0 from chunks), (select count(*) from chunks) = (select count(*) from chunk_embeddings), (select count(*) from messages)");
    Ok(output(command).await?.trim().to_owned())
}

/// The main database has no table for passages, and none of its rows holds words of the file.
async fn nothing_in_the_main_database(postgres: &Postgres) -> Result<()> {
    let mut url = url::Url::parse(postgres.uri())?;
    url.set_path(release::DATABASE);
    let dump = release::all_rows(url.as_str()).await?;
    if !dump.contains(FILE_NAME) {
        bail!("the main database does not even know the file's name: nothing was proven");
    }
    ensure!(
        !dump.contains("metres") && !dump.contains("How tall"),
        "words of the file or of the question stand in the main database"
    );
    Ok(())
}

/// What somebody needs who wants to know why it failed.
pub(super) fn log_tail(app: &ChatApp) -> String {
    format!(
        "--- app ({})\n{}",
        app.log_file().display(),
        app.log_tail(LOG_TAIL_LINES)
    )
}
