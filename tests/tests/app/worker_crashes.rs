//! Kills a worker at each step of ingestion: no data is lost or duplicated.
//!
//! Each step is blocked at its effect, so that the worker dies at exactly that point: by triggers
//! in the main database and in the tenant's, and by an endpoint that does not respond. In the main
//! database, the worker's last write is once rolled back and once committed after the worker's
//! death.

use anyhow::{Context as _, Result, ensure};
use local_stack::http_client::AppClient;
use openai_stub::{Fault, Route};
use sqlx::{Connection as _, PgConnection};
use test_support::{Site, sample_files, timeouts, wait};

super::tests_on![super::INTERRUPTED: killing_a_worker_at_any_step_loses_and_duplicates_nothing];

/// The key of the advisory lock that the test holds and the trigger waits for.
const LOCK_KEY: i64 = 770_077;
/// Where the worker dies, in the order of ingestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CrashPoint {
    /// When it updates the main database: to the step `fetch`, or to the state `ready`.
    Updates(&'static str, LastWrite),
    /// When it requests embeddings, to which the endpoint does not respond.
    RequestsEmbeddings,
    /// When it writes to this table of the tenant's database, before the transaction ends.
    Inserts(&'static str),
}

const CRASH_POINTS: [CrashPoint; 7] = [
    CrashPoint::Updates("fetch", LastWrite::RolledBack),
    CrashPoint::Updates("fetch", LastWrite::Committed),
    CrashPoint::RequestsEmbeddings,
    CrashPoint::Inserts("embedding_drafts"),
    CrashPoint::Inserts("chunks"),
    CrashPoint::Updates("ready", LastWrite::RolledBack),
    CrashPoint::Updates("ready", LastWrite::Committed),
];
const BREAKPOINT: &str = "
    create table if not exists test_breakpoint (step text);
    create or replace function test_breakpoint() returns trigger language plpgsql as $$
    declare
        was text := case when old.state = 'working' then old.step else old.state::text end;
        is_now text := case when new.state = 'working' then new.step else new.state::text end;
    begin
        if was is distinct from is_now and exists (select from test_breakpoint where step = is_now) then
            perform pg_advisory_xact_lock_shared(770077);
        end if;
        return new;
    end $$;
    create or replace trigger test_breakpoint before update on documents for each row execute function test_breakpoint()";

/// What happens to the worker's last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastWrite {
    RolledBack,
    Committed,
}

async fn killing_a_worker_at_any_step_loses_and_duplicates_nothing(site: &Site) -> Result<()> {
    sqlx::raw_sql(BREAKPOINT).execute(site.database()).await?;
    let (ada, workspace) = site.sign_up("Kills").await?;
    let expected = ingest(site, &ada, &workspace, "undisturbed", None).await?;
    for (number, point) in CRASH_POINTS.into_iter().enumerate() {
        let subject = format!("killed-{number}");
        let outcome = ingest(site, &ada, &workspace, &subject, Some(point))
            .await
            .with_context(|| format!("killed at {point:?}"))?;
        ensure!(
            outcome == expected,
            "{point:?}: {outcome}, but without a kill {expected}"
        );
    }
    sqlx::raw_sql(
        "drop trigger test_breakpoint on documents; drop function test_breakpoint; drop table test_breakpoint",
    )
    .execute(site.database())
    .await?;
    Ok(())
}

/// Uploads a document and kills the worker during its ingestion. Returns a summary of the stored
/// data.
async fn ingest(
    site: &Site,
    ada: &AppClient,
    workspace: &str,
    subject: &str,
    kill: Option<CrashPoint>,
) -> Result<String> {
    let mut holder = PgConnection::connect_with(&site.database().connect_options()).await?;
    if let Some(point) = kill {
        set_breakpoint(site, workspace, &mut holder, point).await?;
    }
    let requests_before = site.stub().counts().embedding_requests;
    let name = format!("{subject}.pdf");
    let document = ada
        .upload(workspace, &name, &sample_files::document_about(subject, 6))
        .await?;
    if let Some(point) = kill {
        wait::poll(
            timeouts::INGESTION,
            "the worker to reach the breakpoint",
            || async {
                let reached = match point {
                    CrashPoint::Updates(..) => site.count(COUNT_WAITING).await? > 0,
                    CrashPoint::RequestsEmbeddings => {
                        site.stub().counts().embedding_requests > requests_before
                    }
                    CrashPoint::Inserts(_) => {
                        site.query_tenant_database(workspace, COUNT_SLEEPING)
                            .await?
                            != "0"
                    }
                };
                Ok(reached.then_some(()))
            },
        )
        .await?;
        site.kill_worker().await?;
        clear_breakpoint(site, workspace, &mut holder, point).await?;
        site.start_worker().await?;
    }
    ada.wait_until_ready(workspace, &document, timeouts::INGESTION)
        .await?;
    holder.close().await?;
    stored_data(site, workspace, &document).await
}

async fn set_breakpoint(
    site: &Site,
    workspace: &str,
    holder: &mut PgConnection,
    point: CrashPoint,
) -> Result<()> {
    match point {
        CrashPoint::Updates(step, _) => {
            sqlx::query("select pg_advisory_lock($1)")
                .bind(LOCK_KEY)
                .execute(&mut *holder)
                .await?;
            sqlx::query("insert into test_breakpoint values ($1)")
                .bind(step)
                .execute(&mut *holder)
                .await?;
        }
        CrashPoint::RequestsEmbeddings => {
            site.stub()
                .fail_always(Route::Embeddings, Some(Fault::Hang));
        }
        CrashPoint::Inserts(table) => {
            site.query_tenant_database(
                workspace,
                &format!(
                    "create or replace function test_breakpoint() returns trigger language plpgsql as \
                     'begin perform pg_sleep(600); return null; end'; \
                     create trigger test_breakpoint after insert on {table} for each statement execute function test_breakpoint()"
                ),
            )
            .await?;
        }
    }
    Ok(())
}

async fn clear_breakpoint(
    site: &Site,
    workspace: &str,
    holder: &mut PgConnection,
    point: CrashPoint,
) -> Result<()> {
    match point {
        CrashPoint::Updates(_, last_write) => {
            sqlx::query("delete from test_breakpoint")
                .execute(&mut *holder)
                .await?;
            if last_write == LastWrite::RolledBack {
                sqlx::query(TERMINATE_WAITING).execute(&mut *holder).await?;
            }
            sqlx::query("select pg_advisory_unlock_all()")
                .execute(&mut *holder)
                .await?;
        }
        CrashPoint::RequestsEmbeddings => site.stub().fail_always(Route::Embeddings, None),
        CrashPoint::Inserts(_) => {
            site.query_tenant_database(workspace, TERMINATE_SLEEPING)
                .await?;
            site.query_tenant_database(workspace, "drop function test_breakpoint cascade")
                .await?;
        }
    }
    Ok(())
}

async fn stored_data(site: &Site, workspace: &str, document: &str) -> Result<String> {
    let keys = site.object_keys().await?;
    let objects = keys.iter().filter(|key| key.contains(document)).count();
    let rows = site
        .query_tenant_database(
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

const COUNT_WAITING: &str =
    "select count(*) from pg_locks where locktype = 'advisory' and objid = 770077 and not granted";
const TERMINATE_WAITING: &str = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = 770077 and not granted";
const COUNT_SLEEPING: &str = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
const TERMINATE_SLEEPING: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
