//! Rate limits as clients see them, and shared counters in a real Redis.

use std::net::IpAddr;

use app::config::{self, Allowance};
use app::domain::RateLimitClass;
use app::identity::Token;
use app::web::shared::rate_limit::{RateLimitKey, RateLimiter};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use local_stack::redis::Redis;
use tempfile::TempDir;

use super::site::{Site, settings};

#[tokio::test]
async fn responses_have_rate_limit_headers_and_429_has_retry_after() {
    let site = Site::with(&["--rate-limit-reads=3/1m,3/1m"]).await;
    let mut browser = site.browser();
    for left in ["2", "1", "0"] {
        let answer = browser.get("/").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("ratelimit-limit"), "3");
        assert_eq!(answer.header("ratelimit-remaining"), left);
        assert!(!answer.header("ratelimit-reset").is_empty());
    }
    let rejected = browser.get("/").await;
    assert_eq!(rejected.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = rejected.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert!(rejected.text.contains("too_many_requests"));
    assert_eq!(
        browser.get("/no/such/path").await.status,
        StatusCode::TOO_MANY_REQUESTS,
        "unknown paths count too"
    );
    let script = app::web::shared::assets::APP_JS;
    assert_eq!(
        browser.get(script).await.status,
        StatusCode::OK,
        "assets have a limit of their own"
    );
    let mut other = site.browser().from([192, 0, 2, 2]);
    assert_eq!(other.get("/").await.status, StatusCode::OK);
    let metrics = site.app.metrics.encode().unwrap();
    assert!(
        metrics.contains(
            r#"chat_app_http_requests_rejected_total{reason="rate_limited",class="reads"} 1"#
        ),
        "{metrics}"
    );
}

#[tokio::test]
async fn unknown_methods_count_towards_the_limit_and_have_one_name_in_metrics() {
    let site = Site::with(&["--rate-limit-reads=3/1m,3/1m"]).await;
    let mut browser = site.browser();
    for (method, expected) in [
        ("FIRST", StatusCode::METHOD_NOT_ALLOWED),
        ("SECOND", StatusCode::METHOD_NOT_ALLOWED),
        ("THIRD", StatusCode::METHOD_NOT_ALLOWED),
        ("FOURTH", StatusCode::TOO_MANY_REQUESTS),
    ] {
        let request = Request::builder()
            .method(method)
            .uri("/account")
            .body(Body::empty())
            .unwrap();
        assert_eq!(browser.ask(request).await.status, expected, "{method}");
    }
    let metrics = site.app.metrics.encode().unwrap();
    assert!(metrics.contains(r#"method="_OTHER""#), "{metrics}");
    assert!(!metrics.contains("SECOND"), "{metrics}");
}

#[tokio::test]
async fn the_limit_of_a_user_applies_to_all_their_addresses() {
    let site = Site::with(&["--rate-limit-reads=5/1m,500/1m"]).await;
    let browser = site.signed_in("Ada").await;
    let mut rejected = 0;
    for address in 1..=10 {
        let mut elsewhere = browser.clone().from([198, 51, 100, address]);
        let status = elsewhere.get("/account").await.status;
        rejected += u32::from(status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!((5..10).contains(&rejected), "{rejected}");
    let mut other = site.signed_in("Grace").await;
    assert_eq!(other.get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn clients_without_a_session_cannot_use_up_the_limit_of_a_user_with_the_same_address() {
    let flags = [
        "--rate-limit-reads=10/1m,3/1m",
        "--rate-limit-writes=5/1m,3/1m",
    ];
    let site = Site::with(&flags).await;
    let mut ada = site.signed_in("Ada").await;
    let mut forger = site.browser();
    forger
        .cookies
        .insert("session".to_owned(), Token::random().reveal());
    let asset = app::web::shared::assets::APP_JS;
    for mut stranger in [site.browser(), forger] {
        for path in ["/", "/account", "/no/such/path"] {
            while stranger.get(path).await.status != StatusCode::TOO_MANY_REQUESTS {}
        }
        while stranger.post("/sign-out", &[]).await.status != StatusCode::TOO_MANY_REQUESTS {}
    }
    assert_eq!(ada.get("/").await.status, StatusCode::SEE_OTHER);
    let account = ada.get("/account").await;
    assert_eq!(account.status, StatusCode::OK);
    assert_eq!(account.header("ratelimit-limit"), "10");
    let missing = ada.get("/no/such/path").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let of_users = Allowance::ASSETS.user.count.to_string();
    let address = RateLimitKey::Address(IpAddr::from([192, 0, 2, 1]));
    loop {
        let limits = &site.app.limits;
        while limits.check(RateLimitClass::Assets, address).await.allowed {}
        let script = ada.get(asset).await;
        assert_eq!(script.status, StatusCode::OK);
        // Otherwise the limit of the address had recovered a little.
        if script.header("ratelimit-limit") == of_users {
            break;
        }
    }
    let signed_out = ada.post("/sign-out", &[]).await;
    assert_eq!(signed_out.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_user_does_not_use_up_the_limit_of_their_address() {
    let site = Site::with(&["--rate-limit-reads=3/1m,3/1m"]).await;
    let mut ada = site.signed_in("Ada").await;
    while ada.get("/account").await.status != StatusCode::TOO_MANY_REQUESTS {}
    assert_eq!(site.browser().get("/").await.status, StatusCode::OK);
    let mut grace = site.signed_in("Grace").await;
    assert_eq!(grace.get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_limit_and_forged_addresses_are_ignored() {
    let flags = [
        "--rate-limit-reads=2/1m,2/1m",
        "--trusted-proxies=10.0.0.0/8",
    ];
    let site = Site::with(&flags).await;
    let through = |forwarded: &str| {
        site.browser()
            .from([10, 0, 0, 1])
            .with("x-forwarded-for", forwarded)
    };
    for forged in ["1.1.1.1", "2.2.2.2"] {
        let forwarded = format!("{forged}, 203.0.113.7");
        assert_eq!(through(&forwarded).get("/").await.status, StatusCode::OK);
    }
    let third = through("3.3.3.3, 203.0.113.7").get("/").await;
    assert_eq!(third.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(through("203.0.113.8").get("/").await.status, StatusCode::OK);
    let mut direct = site.browser();
    for address in ["4.4.4.4", "5.5.5.5", "6.6.6.6"] {
        let status = direct
            .clone()
            .with("x-forwarded-for", address)
            .get("/")
            .await
            .status;
        let expected = if address == "6.6.6.6" {
            StatusCode::TOO_MANY_REQUESTS
        } else {
            StatusCode::OK
        };
        assert_eq!(status, expected, "the peer is no trusted proxy");
    }
    assert_eq!(direct.get("/").await.status, StatusCode::TOO_MANY_REQUESTS);
}

fn limit_settings(redis: Option<&str>) -> config::RateLimits {
    let database = "postgres://app@127.0.0.1/app";
    let settings = settings(database, &["--rate-limit-questions=3/1m,100/1m"]);
    config::RateLimits {
        redis_url: redis.map(|url| url.to_owned().into()),
        ..settings.rate_limits
    }
}

#[tokio::test]
async fn replicas_share_counters_in_redis_and_count_alone_while_redis_is_down() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let redis = Redis::start(folder.path()).await.unwrap();
    let settings = limit_settings(Some(redis.url()));
    let one = RateLimiter::start(&settings).unwrap();
    let two = RateLimiter::start(&settings).unwrap();
    let ada = RateLimitKey::User(app::ids::UserId::random());
    for (limits, left) in [(&one, 2), (&two, 1), (&one, 0)] {
        let decision = limits.check(RateLimitClass::Questions, ada).await;
        assert!(decision.allowed);
        assert_eq!(decision.remaining, left);
    }
    let rejected = two.check(RateLimitClass::Questions, ada).await;
    assert!(!rejected.allowed);
    assert!((1..=20).contains(&rejected.retry_after_seconds()));
    let address = RateLimitKey::Address(IpAddr::from([192, 0, 2, 1]));
    assert!(two.check(RateLimitClass::Questions, address).await.allowed);
    assert_eq!((one.redis_errors(), two.redis_errors()), (0, 0));

    redis.stop().await;
    let decision = one.check(RateLimitClass::Questions, ada).await;
    assert!(decision.allowed, "a Redis failure rejects no request");
    assert_eq!(decision.remaining, 2, "requests still count in the process");
    assert!(one.redis_errors() > 0);
}

#[tokio::test]
async fn without_redis_a_process_counts_for_itself() {
    let limits = RateLimiter::start(&limit_settings(None)).unwrap();
    let ada = RateLimitKey::User(app::ids::UserId::random());
    for _ in 0..3 {
        assert!(limits.check(RateLimitClass::Questions, ada).await.allowed);
    }
    assert!(!limits.check(RateLimitClass::Questions, ada).await.allowed);
    assert!(limits.check(RateLimitClass::Uploads, ada).await.allowed);
}
