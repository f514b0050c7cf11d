//! What bounds a call, and what its errors tell, against a real socket. How each request ends stands in `error_table`.

use std::{
    error::Error as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use neon_client::{
    AccountQuota, ErrorKind, Observer, Outcome, Priority, Route, model::CreateProject,
};

use crate::{
    calls::{create, created, get, got},
    support::{Reply, Server},
};

#[tokio::test]
async fn the_error_names_the_id_of_the_request_that_failed() {
    let server = Server::replying([Reply::error(404, "", "not found")]).await;
    let error = get(&server.neon()).await.unwrap_err();
    assert_eq!(
        server.received()[0].header("x-request-id").unwrap(),
        error.request_id().unwrap().to_string()
    );
}

#[tokio::test]
async fn a_deletion_that_is_sent_again_and_finds_nothing_tells_that_it_was() {
    let server = Server::replying([Reply::Close, Reply::error(404, "", "project not found")]).await;
    let error = server
        .neon()
        .projects()
        .delete(&"calm-sea-1".parse().unwrap())
        .send()
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.requests()), (ErrorKind::NotFound, 2));
}

#[tokio::test]
async fn an_answer_of_success_that_is_no_json_is_not_tried_again() {
    let server = Server::replying([Reply::html(200)]).await;
    let error = get(&server.neon()).await.unwrap_err();
    assert_eq!((error.kind(), server.count()), (ErrorKind::NotJson, 1));
    assert!(error.source().is_some());
}

#[tokio::test]
async fn without_an_answer_in_time_the_fate_of_a_creation_is_unknown_and_a_look_may_be_repeated() {
    let server = Server::replying(vec![Reply::Silence; 20]).await;
    let neon = server
        .builder()
        .call_deadline(Duration::from_millis(300))
        .build()
        .unwrap();
    let begun = Instant::now();
    let error = neon
        .projects()
        .create(CreateProject::named("tenant-1"))
        .send()
        .await
        .unwrap_err();
    assert_eq!((error.kind(), server.count()), (ErrorKind::Ambiguous, 1));
    let role = "neondb_owner".parse().unwrap();
    let reset = neon
        .roles(&"calm-sea-1".parse().unwrap(), &"br-a-1".parse().unwrap())
        .reset_password(&role)
        .send()
        .await;
    assert_eq!(
        (reset.unwrap_err().kind(), server.count()),
        (ErrorKind::Ambiguous, 2)
    );
    let error = neon
        .projects()
        .get(&"calm-sea-1".parse().unwrap())
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(begun.elapsed() < Duration::from_secs(5), "deadlines hold");
}

#[tokio::test]
async fn a_get_that_hangs_is_asked_again_within_its_deadline() {
    let server = Server::replying([Reply::Silence, got()]).await;
    let neon = server
        .builder()
        .call_deadline(Duration::from_secs(2))
        .build()
        .unwrap();
    neon.projects()
        .get(&"calm-sea-1".parse().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_429_is_waited_out_as_long_as_it_asks_even_if_the_call_cannot_be_repeated() {
    let server =
        Server::replying([Reply::with_headers(429, "retry-after: 1\r\n"), created()]).await;
    let begun = Instant::now();
    create(&server.neon()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_429_that_asks_for_longer_than_the_deadline_is_an_error_at_once() {
    let server = Server::replying([Reply::with_headers(429, "retry-after: 60\r\n")]).await;
    let begun = Instant::now();
    let error = get(&server.neon()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::RateLimited {
            retry_after: Some(Duration::from_mins(1))
        }
    );
    assert_eq!(error.retry_after(), Some(Duration::from_mins(1)));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_lock_that_outlasts_the_deadline_is_named() {
    let server = Server::replying(vec![Reply::error(423, "", "locked"); 20]).await;
    let neon = server
        .builder()
        .call_deadline(Duration::from_millis(700))
        .build()
        .unwrap();
    let error = neon
        .projects()
        .delete(&"calm-sea-1".parse().unwrap())
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.status().unwrap().as_u16()),
        (ErrorKind::Locked, 423)
    );
    assert_eq!(error.requests() as usize, server.count());
}

#[tokio::test]
async fn after_its_time_a_creation_is_not_sent() {
    let server = Server::replying([Reply::error(423, "", "locked"), created()]).await;
    let create = |not_after| {
        server
            .neon()
            .projects()
            .create(CreateProject::named("tenant-1"))
            .not_after(not_after)
            .send()
    };
    let error = create(
        Instant::now()
            .checked_sub(Duration::from_millis(1))
            .unwrap(),
    )
    .await
    .unwrap_err();
    assert_eq!((error.kind(), server.count()), (ErrorKind::NotSent, 0));
    let error = create(Instant::now() + Duration::from_millis(50))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), server.count()),
        (ErrorKind::NotSent, 1),
        "nor sent again after a refusal"
    );
}

#[tokio::test]
async fn a_reserved_turn_is_spent_by_the_creation_and_none_other_is_waited_for() {
    let server = Server::replying([created()]).await;
    let quota = AccountQuota {
        requests_per_minute: 1,
        per_route_per_second: 1,
        burst: 1,
    };
    let neon = server
        .builder()
        .quota(quota)
        .queue_deadline(Duration::from_millis(50))
        .build()
        .unwrap();
    let permit = neon.reserve(Route::CreateProject).await.unwrap();
    let late = neon.reserve(Route::CreateProject).await.unwrap_err();
    assert_eq!(
        late.kind(),
        ErrorKind::NotSent,
        "the only turn of this minute is taken"
    );
    let not_after = Instant::now() + Duration::from_secs(5);
    neon.projects()
        .create(CreateProject::named("tenant-1"))
        .permit(permit)
        .not_after(not_after)
        .send()
        .await
        .unwrap();
    let error = neon
        .projects()
        .create(CreateProject::named("tenant-2"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), server.count()),
        (ErrorKind::NotSent, 1),
        "it was spent"
    );
}

#[tokio::test]
async fn no_secret_stands_in_an_error_even_if_the_api_repeats_it() {
    let message = "key napi_hunter2 may not see postgresql://owner:npg_hunter3@host/db";
    let body = r#"{"project": {"id": "calm-sea-1", "pg_version": "npg_hunter4"}}"#;
    let server = Server::replying([Reply::error(403, "", message), Reply::json(200, &body)]).await;
    for _ in 0..2 {
        let error = get(&server.neon()).await.unwrap_err();
        let mut text = format!("{error} {error:?} {error:#?}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text.extend([error.to_string(), format!("{error:?}")]);
            cause = error.source();
        }
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[derive(Default)]
struct Ledger(Mutex<Vec<String>>);

impl Observer for Ledger {
    fn request(&self, route: Route, outcome: Outcome, _: Duration) {
        self.0
            .lock()
            .unwrap()
            .push(format!("request {route} {}", outcome.as_str()));
    }

    fn call(&self, route: Route, outcome: Outcome, _: Duration) {
        self.0
            .lock()
            .unwrap()
            .push(format!("call {route} {}", outcome.as_str()));
    }

    fn waited(&self, route: Route, priority: Priority, _: Duration) {
        self.0
            .lock()
            .unwrap()
            .push(format!("waited {route} {}", priority.as_str()));
    }

    fn slowed(&self, route: Route, fraction: f64) {
        self.0
            .lock()
            .unwrap()
            .push(format!("slowed {route} {fraction}"));
    }
}

#[tokio::test]
async fn the_observer_hears_of_every_wait_request_and_call() {
    let server = Server::replying([
        Reply::with_headers(429, "retry-after: 0\r\n"),
        got(),
        Reply::error(404, "", ""),
    ])
    .await;
    let ledger = Arc::new(Ledger::default());
    let neon = server
        .builder()
        .observer(ledger.clone())
        .build()
        .unwrap()
        .with_priority(Priority::Housekeeping);
    let id = "calm-sea-1".parse().unwrap();
    neon.projects().get(&id).send().await.unwrap();
    neon.projects().get(&id).send().await.unwrap_err();
    let expected = [
        "waited get_project housekeeping",
        "request get_project rate_limited",
        "slowed get_project 0.5",
        "waited get_project housekeeping",
        "request get_project success",
        "call get_project success",
        "waited get_project housekeeping",
        "request get_project not_found",
        "call get_project not_found",
    ];
    assert_eq!(*ledger.0.lock().unwrap(), expected);
}
