//! Limits of a call and the details of its errors, against a real socket. `error_table` covers the
//! outcomes of single requests.

use std::{
    error::Error as _,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use neon_client::{
    AccountQuota, ErrorKind, NotAfter, Observer, Outcome, Priority, Route, model::CreateProject,
};
use parking_lot::Mutex;

use crate::{
    calls::{create, created_response, get, project_response},
    support::{Reply, Server},
};

#[tokio::test]
async fn the_error_contains_the_id_of_the_failed_request() {
    let server = Server::replying([Reply::error(404, "", "not found")]).await;
    let error = get(&server.neon()).await.unwrap_err();
    assert_eq!(
        server.received()[0].header("x-request-id").unwrap(),
        error.request_id().unwrap().to_string()
    );
}

#[tokio::test]
async fn a_retried_deletion_that_finds_nothing_reports_two_requests() {
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
async fn a_success_without_json_is_not_retried() {
    let server = Server::replying([Reply::html(200)]).await;
    let error = get(&server.neon()).await.unwrap_err();
    assert_eq!(
        (error.kind(), server.count()),
        (ErrorKind::InvalidResponse, 1)
    );
    assert!(error.source().is_some());
}

#[tokio::test]
async fn after_a_timeout_a_creation_is_ambiguous_and_a_get_is_retried() {
    let server = Server::replying(vec![Reply::NoResponse; 20]).await;
    let neon = server
        .builder()
        .call_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let started = Instant::now();
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
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "timeouts are respected"
    );
}

#[tokio::test]
async fn a_get_that_hangs_is_retried_within_its_timeout() {
    let server = Server::replying([Reply::NoResponse, project_response()]).await;
    let neon = server
        .builder()
        .call_timeout(Duration::from_secs(2))
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
async fn a_429_is_retried_after_its_retry_after_even_if_the_call_is_not_idempotent() {
    let server = Server::replying([
        Reply::with_headers(429, "retry-after: 1\r\n"),
        created_response(),
    ])
    .await;
    let started = Instant::now();
    create(&server.neon()).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_429_with_a_retry_after_beyond_the_timeout_fails_immediately() {
    let server = Server::replying([Reply::with_headers(429, "retry-after: 60\r\n")]).await;
    let started = Instant::now();
    let error = get(&server.neon()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::RateLimited {
            retry_after: Some(Duration::from_mins(1))
        }
    );
    assert_eq!(error.retry_after(), Some(Duration::from_mins(1)));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_lock_that_outlasts_the_timeout_is_reported_as_locked() {
    let server = Server::replying(vec![Reply::error(423, "", "locked"); 20]).await;
    let neon = server
        .builder()
        .call_timeout(Duration::from_millis(700))
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
async fn a_creation_is_not_sent_after_not_after() {
    let server = Server::replying([Reply::error(423, "", "locked"), created_response()]).await;
    let create = |not_after| {
        server
            .neon()
            .projects()
            .create(CreateProject::named("tenant-1"))
            .not_after(NotAfter::new(not_after, Timestamp::MAX))
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
        "it is not retried after an error either"
    );
    let suspended = NotAfter::new(
        Instant::now() + Duration::from_mins(1),
        Timestamp::now() - SignedDuration::from_secs(1),
    );
    let call = server.neon().projects().create(CreateProject::named("b"));
    let error = call.not_after(suspended).send().await.unwrap_err();
    assert_eq!(
        (error.kind(), server.count()),
        (ErrorKind::NotSent, 1),
        "the machine was suspended"
    );
}

#[tokio::test]
async fn a_creation_uses_its_reserved_permit() {
    let server = Server::replying([created_response()]).await;
    let quota = AccountQuota {
        requests_per_minute: 1,
        per_route_per_second: 1,
        burst: 1,
    };
    let neon = server
        .builder()
        .quota(quota)
        .queue_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let permit = neon.reserve(Route::CreateProject).await.unwrap();
    let late = neon.reserve(Route::CreateProject).await.unwrap_err();
    assert_eq!(
        late.kind(),
        ErrorKind::NotSent,
        "the only permit of this minute is in use"
    );
    let not_after = NotAfter::new(Instant::now() + Duration::from_secs(5), Timestamp::MAX);
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
        "the permit was used"
    );
}

#[tokio::test]
async fn an_error_contains_no_secret_even_if_the_api_repeats_it() {
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
struct RecordingObserver(Mutex<Vec<String>>);

impl Observer for RecordingObserver {
    fn request(&self, route: Route, outcome: Outcome, _: Duration) {
        self.0
            .lock()
            .push(format!("request {route} {}", outcome.as_str()));
    }

    fn call(&self, route: Route, outcome: Outcome, _: Duration) {
        self.0
            .lock()
            .push(format!("call {route} {}", outcome.as_str()));
    }

    fn waited(&self, route: Route, priority: Priority, _: Duration) {
        self.0
            .lock()
            .push(format!("waited {route} {}", priority.as_str()));
    }

    fn throttled(&self, route: Route, fraction: f64) {
        self.0.lock().push(format!("throttled {route} {fraction}"));
    }
}

#[tokio::test]
async fn the_observer_is_called_for_every_wait_request_and_call() {
    let server = Server::replying([
        Reply::with_headers(429, "retry-after: 0\r\n"),
        project_response(),
        Reply::error(404, "", ""),
    ])
    .await;
    let observer = Arc::new(RecordingObserver::default());
    let neon = server
        .builder()
        .observer(observer.clone())
        .build()
        .unwrap()
        .with_priority(Priority::Background);
    let id = "calm-sea-1".parse().unwrap();
    neon.projects().get(&id).send().await.unwrap();
    neon.projects().get(&id).send().await.unwrap_err();
    let expected = [
        "waited get_project background",
        "request get_project rate_limited",
        "throttled get_project 0.5",
        "waited get_project background",
        "request get_project success",
        "call get_project success",
        "waited get_project background",
        "request get_project not_found",
        "call get_project not_found",
    ];
    assert_eq!(*observer.0.lock(), expected);
}
