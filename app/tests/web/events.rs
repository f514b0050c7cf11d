//! Events through PostgreSQL, between processes and across a broken connection.

use std::pin::pin;
use std::time::Duration;

use app::events::{Event, Events, Notification};
use app::ids::{DocumentId, WorkspaceId};
use futures::{Stream, StreamExt as _};
use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::site::{SOON, Site};

async fn next(signals: &mut (impl Stream<Item = Notification> + Unpin)) -> Notification {
    timeout(SOON, signals.next())
        .await
        .expect("a signal in time")
        .expect("an endless stream")
}

/// Past any word to look at everything.
async fn next_event(signals: &mut (impl Stream<Item = Notification> + Unpin)) -> Event {
    loop {
        if let Notification::Event(event) = next(signals).await {
            return event;
        }
    }
}

/// Waits until the process listens: until it hears of a workspace that nobody else asks for.
async fn hears(events: &Events, database: &PgPool) {
    let probe = Event::workspace(WorkspaceId::random());
    let mut signals = pin!(events.subscribe(&probe.workspace));
    let hearing = async {
        loop {
            events.publish(database, &probe).await.unwrap();
            let heard = timeout(Duration::from_millis(100), signals.next()).await;
            if heard == Ok(Some(Notification::Event(probe.clone()))) {
                return;
            }
        }
    };
    timeout(SOON, hearing).await.expect("it listens in time");
}

/// Two processes and a workspace; both listen.
async fn two(site: &Site) -> (Events, Events, WorkspaceId, CancellationToken) {
    let stop = CancellationToken::new();
    let database = &site.app.database;
    let one = Events::start(database.clone(), stop.clone());
    let two = Events::start(database.clone(), stop.clone());
    for events in [&one, &two] {
        hears(events, database).await;
    }
    let workspace = WorkspaceId::random();
    (one, two, workspace, stop)
}

#[tokio::test]
async fn what_one_process_commits_every_process_hears_and_what_is_rolled_back_nobody() {
    let site = Site::start().await;
    let (one, two, workspace, stop) = two(&site).await;
    let mut signals = pin!(two.subscribe(&workspace));
    let undone = Event::document(workspace.clone(), DocumentId::random());
    let done = Event::document(workspace.clone(), DocumentId::random());
    let mut transaction = site.app.database.begin().await.unwrap();
    one.publish(&mut *transaction, &undone).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = site.app.database.begin().await.unwrap();
    one.publish(&mut *transaction, &done).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(next_event(&mut signals).await, done);
    stop.cancel();
}

#[tokio::test]
async fn after_a_broken_connection_everybody_looks_again_and_then_hears_on() {
    let site = Site::start().await;
    let (one, _two, workspace, stop) = two(&site).await;
    let mut signals = pin!(one.subscribe(&workspace));
    site.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()",
    )
    .await;
    assert_eq!(next(&mut signals).await, Notification::Resync);
    let event = Event::workspace(workspace);
    one.publish(&site.app.database, &event).await.unwrap();
    assert_eq!(next_event(&mut signals).await, event);
    stop.cancel();
}
