//! A worker is killed after every step of ingestion: nothing is lost, nothing is doubled.
//!
//! A trigger in the main database holds the worker where it says that the next step begins, so that it dies at exactly that
//! point; once with the word taken back, as if it had never been said, and once with it kept, though nobody heard the answer.

use anyhow::{Context as _, Result, ensure};
use dbpertenant_tests::{Site, files, limits, wait};
use sqlx::{Connection as _, PgConnection};

super::tests_on![super::DISTURBED: a_worker_killed_after_every_step_loses_and_doubles_nothing];

/// What the trigger waits for and the test holds.
const LOCK: i64 = 770_077;
/// What begins, step by step; the last is no step any more.
const STEPS: [&str; 6] = ["fetch", "extract", "chunk", "embed", "store", "ready"];
const GATE: &str = "
    create table if not exists test_gate (step text);
    create or replace function test_gate() returns trigger language plpgsql as $$
    declare
        was text := case when old.state = 'working' then old.step else old.state::text end;
        is_now text := case when new.state = 'working' then new.step else new.state::text end;
    begin
        if was is distinct from is_now and exists (select from test_gate where step = is_now) then
            perform pg_advisory_xact_lock_shared(770077);
        end if;
        return new;
    end $$;
    create or replace trigger test_gate before update on documents for each row execute function test_gate()";

/// The worker's last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastWord {
    TakenBack,
    Kept,
}

async fn a_worker_killed_after_every_step_loses_and_doubles_nothing(site: &Site) -> Result<()> {
    sqlx::raw_sql(GATE).execute(site.database()).await?;
    let (ada, workspace) = site.newcomer("Kills").await?;
    let whole = ingest(site, &ada, &workspace, "undisturbed", None).await?;
    for (index, step) in STEPS.into_iter().enumerate() {
        let both = [LastWord::TakenBack, LastWord::Kept];
        let words = if super::is_long() {
            &both[..]
        } else {
            &both[index % 2..=index % 2]
        };
        for &word in words {
            let subject = format!("{step}-{word:?}");
            let end = ingest(site, &ada, &workspace, &subject, Some((step, word)))
                .await
                .with_context(|| format!("killed where {step} begins, last word {word:?}"))?;
            ensure!(end == whole, "{subject}: {end}, and undisturbed {whole}");
        }
    }
    sqlx::raw_sql(
        "drop trigger test_gate on documents; drop function test_gate; drop table test_gate",
    )
    .execute(site.database())
    .await?;
    Ok(())
}

/// Brings a document and kills the worker on the way. Gives what is there in the end.
async fn ingest(
    site: &Site,
    ada: &dev::visitor::Visitor,
    workspace: &str,
    subject: &str,
    kill: Option<(&'static str, LastWord)>,
) -> Result<String> {
    let mut holder = PgConnection::connect_with(&site.database().connect_options()).await?;
    if let Some((step, _)) = kill {
        sqlx::query("select pg_advisory_lock($1)")
            .bind(LOCK)
            .execute(&mut holder)
            .await?;
        sqlx::query("insert into test_gate values ($1)")
            .bind(step)
            .execute(&mut holder)
            .await?;
    }
    let document = ada
        .upload(
            workspace,
            &format!("{subject}.pdf"),
            &files::about(subject, 6),
        )
        .await?;
    if let Some((_, word)) = kill {
        wait::poll(
            limits::SEARCHABLE,
            "the worker stands at the gate",
            || async { Ok((site.count(WAITING).await? > 0).then_some(())) },
        )
        .await?;
        site.kill_worker().await?;
        sqlx::query("delete from test_gate")
            .execute(&mut holder)
            .await?;
        if word == LastWord::TakenBack {
            sqlx::query(END_THE_WAITING).execute(&mut holder).await?;
        }
        sqlx::query("select pg_advisory_unlock_all()")
            .execute(&mut holder)
            .await?;
        site.start_worker().await?;
    }
    ada.until_ready(workspace, &document, limits::SEARCHABLE)
        .await?;
    holder.close().await?;

    let kept = site.objects().await?;
    let objects = kept.iter().filter(|key| key.contains(&document)).count();
    let rows = site
        .in_tenant(
            workspace,
            &format!(
                "select count(*), count(distinct ordinal), max(ordinal) + 1, min(page_from), max(page_to), \
                 (select count(*) from chunk_embeddings join chunks c on c.id = chunk_id where c.document_id = '{document}'), \
                 (select count(*) from embedding_drafts where document_id = '{document}'), \
                 (select count(*) from documents where id = '{document}') from chunks where document_id = '{document}'"
            ),
        )
        .await?;
    Ok(format!("{objects} objects, {rows}"))
}

const WAITING: &str =
    "select count(*) from pg_locks where locktype = 'advisory' and objid = 770077 and not granted";
const END_THE_WAITING: &str = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = 770077 and not granted";
