//! Connections that cannot be established or are closed before they are used.

use std::{
    error::Error as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use neon_client::{ErrorKind, Observer, Outcome, Route, model::CreateProject};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    calls::{create, created_response, get, project_response},
    support::{Reply, Server, builder_for},
};

#[tokio::test]
async fn without_a_connection_nothing_is_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let neon = builder_for(address)
        .call_timeout(Duration::from_millis(600))
        .build()
        .unwrap();
    let error = neon
        .projects()
        .create(CreateProject::named("tenant-1"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable { sent: false });
    assert!(error.requests() > 1, "a retry is safe");
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
        "the same applies to a request without a body"
    );
}

/// Starts the server when the first request has failed.
struct LateServer {
    socket: Mutex<Option<TcpSocket>>,
    replies: Mutex<Vec<Reply>>,
    server: Mutex<Option<Server>>,
    outcomes: Mutex<Vec<&'static str>>,
}

impl Observer for LateServer {
    fn request(&self, _: Route, outcome: Outcome, _: Duration) {
        self.outcomes.lock().push(outcome.as_str());
        if let Some(socket) = self.socket.lock().take() {
            let replies = std::mem::take(&mut *self.replies.lock());
            let server = Server::on(socket.listen(8).unwrap(), replies);
            *self.server.lock() = Some(server);
        }
    }
}

/// Reserves a port that refuses connections until the first one was refused.
fn refusing_first_connection(reply: Reply) -> (SocketAddr, Arc<LateServer>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let late = LateServer {
        socket: Mutex::new(Some(socket)),
        replies: Mutex::new(vec![reply]),
        server: Mutex::default(),
        outcomes: Mutex::default(),
    };
    (address, Arc::new(late))
}

#[tokio::test]
async fn a_refused_connection_is_retried_for_every_call() {
    let (address, late) = refusing_first_connection(project_response());
    let neon = builder_for(address).observer(late.clone()).build().unwrap();
    get(&neon).await.unwrap();
    assert_eq!(*late.outcomes.lock(), ["unavailable", "success"]);

    let (address, late) = refusing_first_connection(created_response());
    let neon = builder_for(address).observer(late.clone()).build().unwrap();
    create(&neon).await.unwrap();
    assert_eq!(*late.outcomes.lock(), ["unavailable", "success"]);
    let received = late.server.lock().as_ref().unwrap().count();
    assert_eq!(received, 1, "the creation is sent once");
}

/// Starts a server that closes its first connection without reading from it.
async fn closing_first_connection(
    reply: Reply,
) -> (SocketAddr, Arc<AtomicU32>, Arc<Mutex<Option<Server>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, server) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(None)));
    let (counted, opened) = (Arc::clone(&closed), Arc::clone(&server));
    tokio::spawn(async move {
        drop(listener.accept().await.unwrap());
        counted.fetch_add(1, Ordering::SeqCst);
        *opened.lock() = Some(Server::on(listener, [reply]));
    });
    (address, closed, server)
}

#[tokio::test]
async fn a_connection_closed_before_anything_is_read_leads_to_at_most_one_project() {
    let (address, closed, _server) = closing_first_connection(project_response()).await;
    get(&builder_for(address).build().unwrap()).await.unwrap();
    assert_eq!(closed.load(Ordering::SeqCst), 1);

    let (address, closed, server) = closing_first_connection(created_response()).await;
    let result = create(&builder_for(address).build().unwrap()).await;
    assert_eq!(closed.load(Ordering::SeqCst), 1);
    let received = server.lock().as_ref().map_or(0, Server::count);
    match result {
        // The client noticed the closed connection before it passed on the body.
        Ok(_) => assert_eq!(received, 1),
        // The body was passed on, so whether it was read is unknown.
        Err(error) => assert_eq!((error.kind(), received), (ErrorKind::Ambiguous, 0)),
    }
}
