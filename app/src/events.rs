//! What happens in workspaces, and how far removals are, told to every process and every open page.
//!
//! PostgreSQL carries it: [`notify`] runs in the transaction that makes it true, so nobody hears of kind was rolled back; one connection
//! a process listens and hands on. Whoever may have missed something (the connection was away, the receiver was slow) gets
//! [`Notification::Resync`] and looks at the rows again, so no event needs to be kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use sqlx::{PgExecutor, PgPool};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::ids::{DeletionId, DocumentId, WorkspaceId};

/// The channel in PostgreSQL.
const CHANNEL: &str = "workspace_events";
/// Events that a receiver may be behind before it has to look at the rows.
const BACKLOG_EVENTS_MAX: usize = 64;
/// Wait before the listening connection is made again.
const RECONNECT_WAIT: Duration = Duration::from_secs(1);
/// Limit on making it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a word for this long, the connection is asked whether it is still there: a lost one may fall silent and nothing else.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Limit on its answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Something changed in a workspace; kind it is now stands in the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Where.
    pub workspace: WorkspaceId,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum EventKind {
    /// A document: its state, how far reading it came, its name, or that it is there at all.
    Document(DocumentId),
    /// The workspace itself: its name, its state, its members.
    Workspace,
}

impl Event {
    /// A document changed.
    pub fn document(workspace: WorkspaceId, document: DocumentId) -> Self {
        Self {
            workspace,
            kind: EventKind::Document(document),
        }
    }

    /// The workspace changed.
    pub fn workspace(workspace: WorkspaceId) -> Self {
        Self {
            workspace,
            kind: EventKind::Workspace,
        }
    }
}

/// As PostgreSQL carries it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Payload {
    Workspace(Event),
    Removal { removal: DeletionId },
}

/// What is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Topic {
    Workspace(WorkspaceId),
    Removal(DeletionId),
}

/// What a subscriber gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// This changed.
    Event(Event),
    /// Something may have been missed: look at everything again.
    Resync,
}

type Channels = HashMap<Topic, broadcast::Sender<Notification>>;

/// Handle on the events of this process; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Events {
    channels: Arc<Mutex<Channels>>,
}

impl Events {
    /// Listens until `stop` is cancelled, and makes the connection again whenever it breaks.
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

    /// Tells every process, once the transaction (if `executor` is one) has been committed.
    pub async fn notify(
        &self,
        executor: impl PgExecutor<'_>,
        event: &Event,
    ) -> Result<(), sqlx::Error> {
        notify(executor, event).await
    }

    /// What happens in this workspace from now on. Ends never; drop it to end it.
    pub fn subscribe(&self, workspace: &WorkspaceId) -> impl Stream<Item = Notification> + Send + use<> {
        self.follow(Topic::Workspace(workspace.clone()))
    }

    /// An item whenever the removal's row, or one of its parts', may say something new. Ends never; drop it to end it.
    pub fn subscribe_to_removal(
        &self,
        removal: DeletionId,
    ) -> impl Stream<Item = ()> + Send + use<> {
        self.follow(Topic::Removal(removal)).map(drop)
    }

    fn follow(&self, topic: Topic) -> impl Stream<Item = Notification> + Send + use<> {
        let receiver = self
            .lock()
            .entry(topic.clone())
            .or_insert_with(|| broadcast::channel(BACKLOG_EVENTS_MAX).0)
            .subscribe();
        let subscription = Subscription {
            receiver: Some(receiver),
            topic,
            events: self.clone(),
        };
        stream::unfold(subscription, |mut subscription| async move {
            let signal = match subscription.receiver.as_mut()?.recv().await {
                Ok(signal) => signal,
                Err(RecvError::Lagged(_)) => Notification::Resync,
                Err(RecvError::Closed) => return None,
            };
            Some((signal, subscription))
        })
    }

    async fn listen(&self, database: &PgPool) {
        loop {
            match timeout(CONNECT_TIMEOUT, connect(database)).await {
                Ok(Ok(mut listener)) => {
                    // What was told before or between is lost to us, not to the rows.
                    self.resync();
                    debug!("Listening for events of workspaces");
                    let error = self.hand_on(&mut listener).await;
                    info!(error = %error, "The connection that listens for events broke and is made again");
                }
                Ok(Err(error)) => {
                    warn!(error = %error, "Events of workspaces cannot be listened for");
                }
                Err(_) => {
                    warn!("Events of workspaces cannot be listened for: no connection in time");
                }
            }
            sleep(RECONNECT_WAIT).await;
        }
    }

    /// Until the connection breaks, and why it did.
    async fn hand_on(&self, listener: &mut PgListener) -> sqlx::Error {
        loop {
            match timeout(SILENCE_MAX, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => self.publish(notification.payload()),
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

    fn publish(&self, payload: &str) {
        match serde_json::from_str::<Payload>(payload) {
            Ok(Payload::Workspace(event)) => {
                let topic = Topic::Workspace(event.workspace.clone());
                self.tell(&topic, Notification::Event(event));
            }
            // How far it is stands in its row, and there alone.
            Ok(Payload::Removal { removal }) => {
                self.tell(&Topic::Removal(removal), Notification::Resync);
            }
            // An event of a newer version, perhaps: kind it says stands in the rows as well.
            Err(error) => {
                warn!(error = %error, "An event of a workspace is not understood");
                self.resync();
            }
        }
    }

    fn tell(&self, topic: &Topic, signal: Notification) {
        if let Some(channel) = self.lock().get(topic) {
            // Without receivers there is nobody to tell.
            let _ = channel.send(signal);
        }
    }

    fn resync(&self) {
        for channel in self.lock().values() {
            let _ = channel.send(Notification::Resync);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As [`Events::notify`], for those who only tell.
pub async fn notify(executor: impl PgExecutor<'_>, event: &Event) -> Result<(), sqlx::Error> {
    send(executor, &Payload::Workspace(event.clone())).await
}

/// Tells every process, once the transaction (if `executor` is one) has been committed, that the removal's row says something new.
pub async fn notify_deletion(
    executor: impl PgExecutor<'_>,
    removal: DeletionId,
) -> Result<(), sqlx::Error> {
    send(executor, &Payload::Removal { removal }).await
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
    // A new connection would be without its gap being told: `hand_on` ends instead.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Forgets the channel with its last receiver.
struct Subscription {
    receiver: Option<broadcast::Receiver<Notification>>,
    topic: Topic,
    events: Events,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.receiver = None;
        let mut channels = self.events.lock();
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
    fn an_event_is_written_as_other_programs_expect_it() {
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
    async fn only_the_workspaces_own_subscribers_hear_of_it() {
        let (events, a, b) = (
            Events::default(),
            WorkspaceId::random(),
            WorkspaceId::random(),
        );
        let (mut of_a, mut of_b) = (pin!(events.subscribe(&a)), pin!(events.subscribe(&b)));
        let event = Event::workspace(a);
        events.publish(&serde_json::to_string(&event).expect("JSON"));
        assert_eq!(of_a.next().await, Some(Notification::Event(event)));
        assert_eq!(of_b.next().now_or_never(), None);
    }

    #[tokio::test]
    async fn who_falls_behind_or_hears_something_new_is_told_to_look_again() {
        let (events, workspace) = (Events::default(), WorkspaceId::random());
        let mut signals = pin!(events.subscribe(&workspace));
        events.publish(r#"{"workspace":"abcdefghijkl","kind":"weather"}"#);
        assert_eq!(signals.next().await, Some(Notification::Resync));
        let payload = serde_json::to_string(&Event::workspace(workspace)).expect("JSON");
        for _ in 0..=BACKLOG_EVENTS_MAX {
            events.publish(&payload);
        }
        assert_eq!(signals.next().await, Some(Notification::Resync));
    }

    #[tokio::test]
    async fn a_removal_is_told_of_to_those_who_follow_it() {
        let (events, removal) = (Events::default(), DeletionId::random());
        let mut news = pin!(events.subscribe_to_removal(removal));
        let payload = |removal| serde_json::to_string(&Payload::Removal { removal });
        events.publish(&payload(DeletionId::random()).expect("JSON"));
        assert_eq!(news.next().now_or_never(), None, "another one");
        events.publish(&payload(removal).expect("JSON"));
        assert_eq!(news.next().now_or_never(), Some(Some(())));
    }

    #[tokio::test]
    async fn a_workspace_that_nobody_watches_is_forgotten() {
        let (events, workspace) = (Events::default(), WorkspaceId::random());
        let (first, second) = (events.subscribe(&workspace), events.subscribe(&workspace));
        drop(first);
        assert_eq!(events.lock().len(), 1);
        drop(second);
        assert_eq!(events.lock().len(), 0);
    }
}
