//! The product in a real browser, headless Chromium, against everything real: an OpenID provider, Redis, S3, the API server, the
//! controller. The stories are told in `tests/browser/*.mjs`; what they leave behind is looked for here.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::site::Shared;
use tests::{Site, SiteOptions, command, files, suite};
use xtask::install;

static SITE: Shared = Shared::serial(|| SiteOptions {
    openid: true,
    redis: true,
    ..SiteOptions::default()
});

/// Runs a story and gives what it says it found.
async fn tell(site: &Site, story: &str, variables: &[(&str, String)]) -> Result<Value> {
    let (node, modules, chromium) = tokio::task::spawn_blocking(|| {
        anyhow::Ok((
            install::node()?,
            install::browser_modules()?,
            install::chromium()?,
        ))
    })
    .await??;
    let mut process = Command::new(node);
    process
        .arg(xtask::repository().join("tests/browser").join(story))
        .env("BROWSER_MODULES", modules)
        .env("CHROMIUM", chromium)
        .env("APP_URL", site.url())
        .env("S3_URL", site.s3().endpoint())
        .env("ISSUER", site.openid().context("no provider")?.issuer())
        .env("SCREENSHOTS", screenshots()?)
        .envs(variables.iter().map(|(name, value)| (*name, value)));
    let said = command::story(process).await?;
    let last = said.lines().last().context("the story says nothing")?;
    Ok(serde_json::from_str(last)?)
}

/// For a person to look at: `target/screenshots`.
fn screenshots() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).context("no target folder")?;
    Ok(target.join("screenshots"))
}

/// What the manuals say, what is asked, and what the answer must hold.
const QUESTION: &str = "What is the purpose of /srv, data for services provided by this system?";
const ANSWER: &str = "/srv";
const SEARCH: &str = "site-specific";

async fn the_first_day_from_sign_up_to_the_receipt_in_a_browser(site: &Site) -> Result<()> {
    let hostile = site.cluster().folder().join("draws itself.pdf");
    std::fs::write(&hostile, files::that_draws_itself())?;
    let manuals = tokio::task::spawn_blocking(files::manuals).await??;
    let found = tell(
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
    suite::say(&format!("the first day: {found}"));

    let living = site.cluster().account().living().await?;
    ensure!(living.is_empty(), "projects are left: {living:?}");
    let objects = site.objects().await?;
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

async fn uploads_on_a_bad_line_go_on_and_pages_are_reached_by_keyboard(site: &Site) -> Result<()> {
    let found = tell(site, "bad_line.mjs", &[]).await?;
    suite::say(&format!("a bad line: {found}"));
    Ok(())
}

fn main() -> ExitCode {
    let tests = vec![
        suite::test_site(
            "browser::the_first_day_from_sign_up_to_the_receipt_in_a_browser",
            &SITE,
            the_first_day_from_sign_up_to_the_receipt_in_a_browser,
        ),
        suite::test_site(
            "browser::uploads_on_a_bad_line_go_on_and_pages_are_reached_by_keyboard",
            &SITE,
            uploads_on_a_bad_line_go_on_and_pages_are_reached_by_keyboard,
        ),
    ];
    suite::run_and_then(tests, SITE.end())
}
