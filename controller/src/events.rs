//! Publishes Kubernetes events (`kubectl describe`) in the background, so that reconciliations
//! never wait for them.

mod controller_event;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, Recorder, Reporter};
use service_kit::error_chain;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crds::FIELD_MANAGER;

pub use controller_event::ControllerEvent;

/// Queued events. Further events are dropped, because every event repeats what a status or a log
/// line says.
const MAX_QUEUED_EVENTS: usize = 1_024;
/// Longest note; the API server rejects longer ones.
const MAX_NOTE_BYTES: usize = 1_000;

/// A handle for publishing events.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<(Event, ObjectReference)>);

/// Events that are waiting to be published.
pub type EventQueue = mpsc::Receiver<(Event, ObjectReference)>;

impl Events {
    /// A handle, and the queue of its events.
    pub fn queue() -> (Self, EventQueue) {
        let (sender, queue) = mpsc::channel(MAX_QUEUED_EVENTS);
        (Self(sender), queue)
    }

    /// Starts the background task, which runs until `stop` is cancelled. `deadline` limits each
    /// call.
    pub fn start(
        client: kube::Client,
        instance: String,
        deadline: std::time::Duration,
        stop: CancellationToken,
    ) -> Self {
        let (events, mut queue) = Self::queue();
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: Some(instance),
        };
        let recorder = Recorder::new(client, reporter);
        tokio::spawn(async move {
            while let Some(Some((event, about))) = stop.run_until_cancelled(queue.recv()).await {
                // A namespace that is being deleted rejects new events.
                match tokio::time::timeout(deadline, recorder.publish(&event, &about)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        debug!(error = %error_chain(&error), "failed to publish an event");
                    }
                    Err(_) => debug!("timed out publishing an event"),
                }
            }
        });
        events
    }

    pub fn publish(&self, about: ObjectReference, event: &ControllerEvent<'_>) {
        let note = event.note();
        let mut end = note.len().min(MAX_NOTE_BYTES);
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        let event = Event {
            type_: event.event_type(),
            reason: event.reason().as_str().to_owned(),
            note: Some(note[..end].to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if self.0.try_send((event, about)).is_err() {
            debug!("dropped an event: the queue is full or the controller is stopping");
        }
    }
}
