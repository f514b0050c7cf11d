//! Notifications of changes in workspaces and of the progress of deletions, between processes.
//!
//! They use `LISTEN` and `NOTIFY` of the main database. [`publish`] runs in the transaction that
//! makes the change, so subscribers hear of committed changes only. Each process listens on one
//! connection. A subscriber that may have missed events, because the connection broke or the
//! subscriber was slow, gets [`Notification::Resync`] and reads the rows again, so events are not
//! stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use service_kit::error_chain;
use sqlx::postgres::PgListener;
use sqlx::{PgExecutor, PgPool};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::ids::{DeletionId, DocumentId, WorkspaceId};

const CHANNEL: &str = "workspace_events";
/// Upper bound of the events queued for a subscriber. A slower subscriber has to resync.
const MAX_LAG: usize = 64;
const RECONNECT_DELAY: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time without a message, a query checks that the connection is alive. A lost
/// connection may be silent.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// A change in a workspace. The rows contain the new state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub workspace: WorkspaceId,
    #[serde(flatten)]
    pub kind: EventKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum EventKind {
    /// A document was added, deleted or renamed, or its state changed.
    Document(DocumentId),
    /// The name, the state or the members of the workspace changed.
    Workspace,
}

impl Event {
    pub fn document(workspace: WorkspaceId, document: DocumentId) -> Self {
        Self {
            workspace,
            kind: EventKind::Document(document),
        }
    }

    pub fn workspace(workspace: WorkspaceId) -> Self {
        Self {
            workspace,
            kind: EventKind::Workspace,
        }
    }
}

/// The payload of a `NOTIFY` message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Payload {
    Workspace(Event),
    Deletion { deletion: DeletionId },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Topic {
    Workspace(WorkspaceId),
    Deletion(DeletionId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    Event(Event),
    /// Events may have been lost: read the rows again.
    Resync,
}

type Channels = HashMap<Topic, broadcast::Sender<Notification>>;

/// The subscriptions of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Events {
    channels: Arc<Mutex<Channels>>,
}

impl Events {
    /// Listens until `stop` is cancelled, and reconnects when the connection breaks.
    pub fn start(database: PgPool, stop: CancellationToken) -> Self {
        let events = Self::default();
        let listening = events.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = listening.listen(&database) => {}
            }
        });
        events
    }

    /// Notifies every process, after the transaction commits if `executor` is one.
    pub async fn publish(
        &self,
        executor: impl PgExecutor<'_>,
        event: &Event,
    ) -> Result<(), sqlx::Error> {
        publish(executor, event).await
    }

    /// Changes in the workspace from now on. The stream never ends.
    pub fn subscribe(
        &self,
        workspace: &WorkspaceId,
    ) -> impl Stream<Item = Notification> + Send + use<> {
        self.follow(Topic::Workspace(workspace.clone()))
    }

    /// An item whenever the rows of the deletion may have changed. The stream never ends.
    pub fn subscribe_to_deletion(
        &self,
        deletion: DeletionId,
    ) -> impl Stream<Item = ()> + Send + use<> {
        self.follow(Topic::Deletion(deletion)).map(drop)
    }

    fn follow(&self, topic: Topic) -> impl Stream<Item = Notification> + Send + use<> {
        let receiver = self
            .channels
            .lock()
            .entry(topic.clone())
            .or_insert_with(|| broadcast::channel(MAX_LAG).0)
            .subscribe();
        let subscription = Subscription {
            receiver: Some(receiver),
            topic,
            events: self.clone(),
        };
        stream::unfold(subscription, |mut subscription| async move {
            let notification = match subscription.receiver.as_mut()?.recv().await {
                Ok(notification) => notification,
                Err(RecvError::Lagged(_)) => Notification::Resync,
                Err(RecvError::Closed) => return None,
            };
            Some((notification, subscription))
        })
    }

    async fn listen(&self, database: &PgPool) {
        loop {
            match timeout(CONNECT_TIMEOUT, connect(database)).await {
                Ok(Ok(mut listener)) => {
                    // Messages sent while disconnected are lost.
                    self.resync();
                    debug!("listening for workspace events");
                    let error = self.forward(&mut listener).await;
                    info!(error = %error_chain(&error), "event connection lost; reconnecting");
                }
                Ok(Err(error)) => {
                    warn!(error = %error_chain(&error), "failed to listen for workspace events");
                }
                Err(_) => {
                    warn!("failed to listen for workspace events: connection timed out");
                }
            }
            sleep(RECONNECT_DELAY).await;
        }
    }

    /// Forwards messages until the connection breaks, and returns the error.
    async fn forward(&self, listener: &mut PgListener) -> sqlx::Error {
        loop {
            match timeout(PROBE_INTERVAL, listener.try_recv()).await {
                Ok(Ok(Some(message))) => self.dispatch(message.payload()),
                Ok(Ok(None)) => return sqlx::Error::WorkerCrashed,
                Ok(Err(error)) => return error,
                Err(_) => {
                    let probe = sqlx::query("SELECT 1").execute(&mut *listener);
                    match timeout(PROBE_TIMEOUT, probe).await {
                        Ok(Ok(_)) => {}
                        Ok(Err(error)) => return error,
                        Err(_) => return sqlx::Error::PoolTimedOut,
                    }
                }
            }
        }
    }

    fn dispatch(&self, payload: &str) {
        match serde_json::from_str::<Payload>(payload) {
            Ok(Payload::Workspace(event)) => {
                let topic = Topic::Workspace(event.workspace.clone());
                self.send_to(&topic, Notification::Event(event));
            }
            // The row contains the progress.
            Ok(Payload::Deletion { deletion }) => {
                self.send_to(&Topic::Deletion(deletion), Notification::Resync);
            }
            // Possibly an event of a newer version. The rows contain the change.
            Err(error) => {
                warn!(%error, "ignored an unknown workspace event");
                self.resync();
            }
        }
    }

    fn send_to(&self, topic: &Topic, notification: Notification) {
        if let Some(channel) = self.channels.lock().get(topic) {
            // Fails only if the last subscriber has just disconnected.
            let _ = channel.send(notification);
        }
    }

    fn resync(&self) {
        for channel in self.channels.lock().values() {
            let _ = channel.send(Notification::Resync);
        }
    }
}

/// Like [`Events::publish`], without a handle.
pub async fn publish(executor: impl PgExecutor<'_>, event: &Event) -> Result<(), sqlx::Error> {
    send(executor, &Payload::Workspace(event.clone())).await
}

/// Notifies every process that the deletion's row has changed, after the transaction commits if
/// `executor` is one.
pub async fn publish_deletion(
    executor: impl PgExecutor<'_>,
    deletion: DeletionId,
) -> Result<(), sqlx::Error> {
    send(executor, &Payload::Deletion { deletion }).await
}

async fn send(executor: impl PgExecutor<'_>, payload: &Payload) -> Result<(), sqlx::Error> {
    let payload =
        serde_json::to_string(payload).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(payload)
        .execute(executor)
        .await
        .map(drop)
}

async fn connect(database: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(database).await?;
    // An automatic reconnect would hide lost messages. `forward` returns the error instead.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Removes the channel when its last subscriber is dropped.
struct Subscription {
    receiver: Option<broadcast::Receiver<Notification>>,
    topic: Topic,
    events: Events,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.receiver = None;
        let mut channels = self.events.channels.lock();
        if channels
            .get(&self.topic)
            .is_some_and(|channel| channel.receiver_count() == 0)
        {
            channels.remove(&self.topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn events_serialize_to_a_stable_format() {
        let workspace: WorkspaceId = "abcdefghijkl".parse().expect("an id");
        let event = Event::workspace(workspace.clone());
        assert_eq!(
            serde_json::to_string(&event).expect("JSON"),
            r#"{"workspace":"abcdefghijkl","kind":"workspace"}"#
        );
        let event = Event::document(workspace, DocumentId::random());
        let text = serde_json::to_string(&event).expect("JSON");
        assert_eq!(serde_json::from_str::<Event>(&text).expect("read"), event);
    }

    #[tokio::test]
    async fn events_reach_only_the_subscribers_of_their_workspace() {
        let (events, a, b) = (
            Events::default(),
            WorkspaceId::random(),
            WorkspaceId::random(),
        );
        let (mut of_a, mut of_b) = (pin!(events.subscribe(&a)), pin!(events.subscribe(&b)));
        let event = Event::workspace(a);
        events.dispatch(&serde_json::to_string(&event).expect("JSON"));
        assert_eq!(of_a.next().await, Some(Notification::Event(event)));
        assert_eq!(of_b.next().now_or_never(), None);
    }

    #[tokio::test]
    async fn slow_subscribers_and_unknown_events_cause_a_resync() {
        let (events, workspace) = (Events::default(), WorkspaceId::random());
        let mut notifications = pin!(events.subscribe(&workspace));
        events.dispatch(r#"{"workspace":"abcdefghijkl","kind":"weather"}"#);
        assert_eq!(notifications.next().await, Some(Notification::Resync));
        let payload = serde_json::to_string(&Event::workspace(workspace)).expect("JSON");
        for _ in 0..=MAX_LAG {
            events.dispatch(&payload);
        }
        assert_eq!(notifications.next().await, Some(Notification::Resync));
    }

    #[tokio::test]
    async fn deletions_notify_their_subscribers() {
        let (events, deletion) = (Events::default(), DeletionId::random());
        let mut notifications = pin!(events.subscribe_to_deletion(deletion));
        let payload = |deletion| serde_json::to_string(&Payload::Deletion { deletion });
        events.dispatch(&payload(DeletionId::random()).expect("JSON"));
        assert_eq!(
            notifications.next().now_or_never(),
            None,
            "another deletion"
        );
        events.dispatch(&payload(deletion).expect("JSON"));
        assert_eq!(notifications.next().now_or_never(), Some(Some(())));
    }

    #[tokio::test]
    async fn a_channel_without_subscribers_is_removed() {
        let (events, workspace) = (Events::default(), WorkspaceId::random());
        let (first, second) = (events.subscribe(&workspace), events.subscribe(&workspace));
        drop(first);
        assert_eq!(events.channels.lock().len(), 1);
        drop(second);
        assert_eq!(events.channels.lock().len(), 0);
    }
}
