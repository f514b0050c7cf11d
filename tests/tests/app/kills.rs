//! A worker is killed after every step of ingestion: nothing is lost, nothing is doubled.
//!
//! Each step is held at its effect, so that the worker dies at exactly that point: by triggers in the main database and in the
//! tenant's, and by an endpoint that does not answer. In the main database the worker's last word is once taken back, as if it had
//! never been said, and once kept, though nobody heard the answer.

use anyhow::{Context as _, Result, ensure};
use openai_stub::{Fault, Route};
use sqlx::{Connection as _, PgConnection};
use tests::{Site, files, limits, wait};
use xtask::visitor::Visitor;

super::tests_on![super::DISTURBED: a_worker_killed_after_every_step_loses_and_doubles_nothing];

/// What the trigger waits for and the test holds.
const LOCK: i64 = 770_077;
/// Where the worker dies, in the order of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// It says in the main database that this begins: `fetch`, or that the document is `ready`.
    Says(&'static str, LastWord),
    /// The text is read and cut, and the endpoint does not answer.
    AsksForVectors,
    /// It writes to this table of the tenant's database, and the transaction is not ended.
    Writes(&'static str),
}

const POINTS: [Point; 7] = [
    Point::Says("fetch", LastWord::TakenBack),
    Point::Says("fetch", LastWord::Kept),
    Point::AsksForVectors,
    Point::Writes("embedding_drafts"),
    Point::Writes("chunks"),
    Point::Says("ready", LastWord::TakenBack),
    Point::Says("ready", LastWord::Kept),
];
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
    for (number, point) in POINTS.into_iter().enumerate() {
        let subject = format!("killed-{number}");
        let end = ingest(site, &ada, &workspace, &subject, Some(point))
            .await
            .with_context(|| format!("killed at {point:?}"))?;
        ensure!(end == whole, "{point:?}: {end}, and undisturbed {whole}");
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
    ada: &Visitor,
    workspace: &str,
    subject: &str,
    kill: Option<Point>,
) -> Result<String> {
    let mut holder = PgConnection::connect_with(&site.database().connect_options()).await?;
    if let Some(point) = kill {
        close(site, workspace, &mut holder, point).await?;
    }
    let asked_before = site.stub().counts().embedding_requests;
    let name = format!("{subject}.pdf");
    let document = ada
        .upload(workspace, &name, &files::about(subject, 6))
        .await?;
    if let Some(point) = kill {
        wait::poll(
            limits::SEARCHABLE,
            "the worker stands at the gate",
            || async {
                let stands = match point {
                    Point::Says(..) => site.count(WAITING).await? > 0,
                    Point::AsksForVectors => site.stub().counts().embedding_requests > asked_before,
                    Point::Writes(_) => site.in_tenant(workspace, ASLEEP).await? != "0",
                };
                Ok(stands.then_some(()))
            },
        )
        .await?;
        site.kill_worker().await?;
        open(site, workspace, &mut holder, point).await?;
        site.start_worker().await?;
    }
    ada.until_ready(workspace, &document, limits::SEARCHABLE)
        .await?;
    holder.close().await?;
    what_is_there(site, workspace, &document).await
}

async fn close(
    site: &Site,
    workspace: &str,
    holder: &mut PgConnection,
    point: Point,
) -> Result<()> {
    match point {
        Point::Says(step, _) => {
            sqlx::query("select pg_advisory_lock($1)")
                .bind(LOCK)
                .execute(&mut *holder)
                .await?;
            sqlx::query("insert into test_gate values ($1)")
                .bind(step)
                .execute(&mut *holder)
                .await?;
        }
        Point::AsksForVectors => {
            site.stub()
                .fail_always(Route::Embeddings, Some(Fault::Hang));
        }
        Point::Writes(table) => {
            site.in_tenant(
                workspace,
                &format!(
                    "create or replace function test_gate() returns trigger language plpgsql as \
                     'begin perform pg_sleep(600); return null; end'; \
                     create trigger test_gate after insert on {table} for each statement execute function test_gate()"
                ),
            )
            .await?;
        }
    }
    Ok(())
}

async fn open(site: &Site, workspace: &str, holder: &mut PgConnection, point: Point) -> Result<()> {
    match point {
        Point::Says(_, word) => {
            sqlx::query("delete from test_gate")
                .execute(&mut *holder)
                .await?;
            if word == LastWord::TakenBack {
                sqlx::query(END_THE_WAITING).execute(&mut *holder).await?;
            }
            sqlx::query("select pg_advisory_unlock_all()")
                .execute(&mut *holder)
                .await?;
        }
        Point::AsksForVectors => site.stub().fail_always(Route::Embeddings, None),
        Point::Writes(_) => {
            site.in_tenant(workspace, END_THE_ASLEEP).await?;
            site.in_tenant(workspace, "drop function test_gate cascade")
                .await?;
        }
    }
    Ok(())
}

async fn what_is_there(site: &Site, workspace: &str, document: &str) -> Result<String> {
    let kept = site.objects().await?;
    let objects = kept.iter().filter(|key| key.contains(document)).count();
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
const ASLEEP: &str = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
const END_THE_ASLEEP: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
