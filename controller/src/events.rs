//! Events for people (`kubectl describe`), published beside the work and never in its way.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crds::{FIELD_MANAGER, Reason};

/// Events that wait to be published; more are dropped, since an event is never the only record of anything.
const QUEUE_EVENTS_MAX: usize = 1_024;
/// The API server refuses longer notes, in bytes.
const NOTE_BYTES_MAX: usize = 1_000;

/// Where events are handed in.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<(Event, ObjectReference)>);

impl Events {
    /// Starts the task that publishes, until `stop`.
    pub fn start(
        client: kube::Client,
        instance: String,
        deadline: std::time::Duration,
        stop: CancellationToken,
    ) -> Self {
        let (sender, mut queue) = mpsc::channel::<(Event, ObjectReference)>(QUEUE_EVENTS_MAX);
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: Some(instance),
        };
        let recorder = Recorder::new(client, reporter);
        tokio::spawn(async move {
            while let Some(Some((event, about))) = stop.run_until_cancelled(queue.recv()).await {
                // A namespace on its way out takes no new events; nor does anybody read them there.
                match tokio::time::timeout(deadline, recorder.publish(&event, &about)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => debug!(%error, "An event could not be published"),
                    Err(_) => debug!("An event could not be published in time"),
                }
            }
        });
        Self(sender)
    }

    /// Something went as it should.
    pub fn normal(&self, about: ObjectReference, reason: Reason, note: &str) {
        self.send(EventType::Normal, about, reason, note);
    }

    /// Something needs a person's eye.
    pub fn warning(&self, about: ObjectReference, reason: Reason, note: &str) {
        self.send(EventType::Warning, about, reason, note);
    }

    fn send(&self, type_: EventType, about: ObjectReference, reason: Reason, note: &str) {
        let mut end = note.len().min(NOTE_BYTES_MAX);
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        let event = Event {
            type_,
            reason: reason.as_str().to_owned(),
            note: Some(note[..end].to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if self.0.try_send((event, about)).is_err() {
            debug!("An event was dropped: the queue is full, or the controller is stopping");
        }
    }
}
