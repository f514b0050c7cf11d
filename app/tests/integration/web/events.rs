//! Notifications between processes, and after a broken connection.

use std::pin::pin;
use std::time::Duration;

use app::events::{Event, Events, Notification};
use app::ids::{DocumentId, WorkspaceId};
use futures::{Stream, StreamExt as _};
use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::site::Site;
use crate::fixture::TIMEOUT;

async fn next(notifications: &mut (impl Stream<Item = Notification> + Unpin)) -> Notification {
    timeout(TIMEOUT, notifications.next())
        .await
        .expect("a notification in time")
        .expect("an endless stream")
}

/// The next event, without resyncs.
async fn next_event(notifications: &mut (impl Stream<Item = Notification> + Unpin)) -> Event {
    loop {
        if let Notification::Event(event) = next(notifications).await {
            return event;
        }
    }
}

/// Waits until the process listens, by publishing events of an unrelated workspace.
async fn wait_until_listening(events: &Events, database: &PgPool) {
    let probe = Event::workspace(WorkspaceId::random());
    let mut notifications = pin!(events.subscribe(&probe.workspace));
    let probing = async {
        loop {
            events.publish(database, &probe).await.unwrap();
            let received = timeout(Duration::from_millis(100), notifications.next()).await;
            if received == Ok(Some(Notification::Event(probe.clone()))) {
                return;
            }
        }
    };
    timeout(TIMEOUT, probing).await.expect("it listens in time");
}

/// Two listening processes and a workspace.
async fn two_processes(site: &Site) -> (Events, Events, WorkspaceId, CancellationToken) {
    let stop = CancellationToken::new();
    let database = &site.app.database;
    let one = Events::start(database.clone(), stop.clone());
    let two = Events::start(database.clone(), stop.clone());
    for events in [&one, &two] {
        wait_until_listening(events, database).await;
    }
    let workspace = WorkspaceId::random();
    (one, two, workspace, stop)
}

#[tokio::test]
async fn committed_events_reach_other_processes_and_rolled_back_events_do_not() {
    let site = Site::start().await;
    let (one, two, workspace, stop) = two_processes(&site).await;
    let mut notifications = pin!(two.subscribe(&workspace));
    let rolled_back = Event::document(workspace.clone(), DocumentId::random());
    let committed = Event::document(workspace.clone(), DocumentId::random());
    let mut transaction = site.app.database.begin().await.unwrap();
    one.publish(&mut *transaction, &rolled_back).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = site.app.database.begin().await.unwrap();
    one.publish(&mut *transaction, &committed).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(next_event(&mut notifications).await, committed);
    stop.cancel();
}

#[tokio::test]
async fn a_broken_connection_causes_a_resync_and_is_reestablished() {
    let site = Site::start().await;
    let (one, _two, workspace, stop) = two_processes(&site).await;
    let mut notifications = pin!(one.subscribe(&workspace));
    site.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()",
    )
    .await;
    assert_eq!(next(&mut notifications).await, Notification::Resync);
    let event = Event::workspace(workspace);
    one.publish(&site.app.database, &event).await.unwrap();
    assert_eq!(next_event(&mut notifications).await, event);
    stop.cancel();
}
