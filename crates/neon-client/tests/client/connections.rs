//! Connections that do not come about, or end before they could be used.

use std::{
    error::Error as _,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use neon_client::{ErrorKind, Observer, Outcome, Route, model::CreateProject};
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    calls::{create, created, get, got},
    support::{Reply, Server, builder_for},
};

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let neon = builder_for(address)
        .call_deadline(Duration::from_millis(600))
        .build()
        .unwrap();
    let error = neon
        .projects()
        .create(CreateProject::named("tenant-1"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable { sent: false });
    assert!(error.requests() > 1, "to try again is safe");
    assert!(error.source().is_some());
    let role = "neondb_owner".parse().unwrap();
    let reset = neon
        .roles(&"calm-sea-1".parse().unwrap(), &"br-a-1".parse().unwrap())
        .reset_password(&role)
        .send()
        .await;
    assert_eq!(
        reset.unwrap_err().kind(),
        ErrorKind::Unavailable { sent: false },
        "also for a request without a body"
    );
}

/// Opens the server when the first request has failed.
struct OpenLate {
    socket: Mutex<Option<TcpSocket>>,
    replies: Mutex<Vec<Reply>>,
    server: Mutex<Option<Server>>,
    outcomes: Mutex<Vec<&'static str>>,
}

impl Observer for OpenLate {
    fn request(&self, _: Route, outcome: Outcome, _: Duration) {
        self.outcomes.lock().unwrap().push(outcome.as_str());
        if let Some(socket) = self.socket.lock().unwrap().take() {
            let replies = std::mem::take(&mut *self.replies.lock().unwrap());
            let server = Server::on(socket.listen(8).unwrap(), replies);
            *self.server.lock().unwrap() = Some(server);
        }
    }
}

/// A port that is taken and refuses connections, until the first was refused.
fn refusing_at_first(reply: Reply) -> (SocketAddr, Arc<OpenLate>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let late = OpenLate {
        socket: Mutex::new(Some(socket)),
        replies: Mutex::new(vec![reply]),
        server: Mutex::default(),
        outcomes: Mutex::default(),
    };
    (address, Arc::new(late))
}

#[tokio::test]
async fn a_connection_that_is_refused_is_tried_again_whatever_the_call() {
    let (address, late) = refusing_at_first(got());
    let neon = builder_for(address).observer(late.clone()).build().unwrap();
    get(&neon).await.unwrap();
    assert_eq!(*late.outcomes.lock().unwrap(), ["unavailable", "success"]);

    let (address, late) = refusing_at_first(created());
    let neon = builder_for(address).observer(late.clone()).build().unwrap();
    create(&neon).await.unwrap();
    assert_eq!(*late.outcomes.lock().unwrap(), ["unavailable", "success"]);
    let received = late.server.lock().unwrap().as_ref().unwrap().count();
    assert_eq!(received, 1, "the creation was sent once");
}

/// A server whose first connection ends before anything of it is read.
async fn cutting_first(reply: Reply) -> (SocketAddr, Arc<AtomicU32>, Arc<Mutex<Option<Server>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (cut, server) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(None)));
    let (counted, opened) = (Arc::clone(&cut), Arc::clone(&server));
    tokio::spawn(async move {
        drop(listener.accept().await.unwrap());
        counted.fetch_add(1, Ordering::SeqCst);
        *opened.lock().unwrap() = Some(Server::on(listener, [reply]));
    });
    (address, cut, server)
}

#[tokio::test]
async fn after_a_connection_that_was_cut_before_anything_was_read_there_is_one_project_at_most() {
    let (address, cut, _server) = cutting_first(got()).await;
    get(&builder_for(address).build().unwrap()).await.unwrap();
    assert_eq!(cut.load(Ordering::SeqCst), 1);

    let (address, cut, server) = cutting_first(created()).await;
    let result = create(&builder_for(address).build().unwrap()).await;
    assert_eq!(cut.load(Ordering::SeqCst), 1);
    let received = server.lock().unwrap().as_ref().map_or(0, Server::count);
    match result {
        // The connection was seen to be gone before the body was handed to it.
        Ok(_) => assert_eq!(received, 1),
        // It was handed over; nobody can tell whether it was read.
        Err(error) => assert_eq!((error.kind(), received), (ErrorKind::Ambiguous, 0)),
    }
}
