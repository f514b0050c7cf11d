//! Budgets as clients see them, and counting together in a real Redis.

use std::net::IpAddr;

use app::config;
use app::web::limits::{Budget, Limits, Subject};
use axum::http::StatusCode;
use local_stack::redis::Redis;
use tempfile::TempDir;

use crate::site::{Site, settings};

#[tokio::test]
async fn answers_tell_of_the_budget_and_429_when_to_come_back() {
    let site = Site::with(&["--rate-pages=3/1m,3/1m"]).await;
    let mut browser = site.browser();
    for left in ["2", "1", "0"] {
        let answer = browser.get("/").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("ratelimit-limit"), "3");
        assert_eq!(answer.header("ratelimit-remaining"), left);
        assert!(!answer.header("ratelimit-reset").is_empty());
    }
    let refused = browser.get("/").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert!(refused.text.contains("a little too much at once"));
    assert_eq!(
        browser.get("/no/such/path").await.status,
        StatusCode::TOO_MANY_REQUESTS,
        "unknown paths cost too"
    );
    let script = app::web::assets::APP_JS;
    assert_eq!(
        browser.get(script).await.status,
        StatusCode::OK,
        "assets have their own"
    );
    let mut other = site.browser().from([192, 0, 2, 2]);
    assert_eq!(other.get("/").await.status, StatusCode::OK);
    let metrics = site.app.metrics.encode().unwrap();
    assert!(
        metrics.contains(r#"chat_app_http_refused_total{why="Limit",budget="pages"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_user_is_counted_wherever_they_come_from() {
    let site = Site::with(&["--rate-pages=5/1m,500/1m"]).await;
    let browser = site.signed_in("Ada").await;
    let mut refused = 0;
    for address in 1..=10 {
        let mut elsewhere = browser.clone().from([198, 51, 100, address]);
        let status = elsewhere.get("/account").await.status;
        refused += u32::from(status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!((5..10).contains(&refused), "{refused}");
    let mut other = site.signed_in("Grace").await;
    assert_eq!(other.get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_is_counted_and_made_up_addresses_do_not_help() {
    let flags = ["--rate-pages=2/1m,2/1m", "--trusted-proxies=10.0.0.0/8"];
    let site = Site::with(&flags).await;
    let through = |forwarded: &str| {
        site.browser()
            .from([10, 0, 0, 1])
            .with("x-forwarded-for", forwarded)
    };
    for made_up in ["1.1.1.1", "2.2.2.2"] {
        let forwarded = format!("{made_up}, 203.0.113.7");
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
        assert_eq!(status, expected, "no proxy of ours said so");
    }
    assert_eq!(direct.get("/").await.status, StatusCode::TOO_MANY_REQUESTS);
}

fn limits(redis: Option<&str>) -> config::Limits {
    let database = "postgres://app@127.0.0.1/app";
    let settings = settings(database, &["--rate-questions=3/1m,100/1m"]);
    config::Limits {
        redis_url: redis.map(|url| url.to_owned().into()),
        ..settings.limits
    }
}

#[tokio::test]
async fn replicas_count_together_in_redis_and_each_for_itself_while_it_is_away() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let redis = Redis::start(folder.path()).await.unwrap();
    let settings = limits(Some(redis.url()));
    let one = Limits::start(&settings).unwrap();
    let two = Limits::start(&settings).unwrap();
    let ada = Subject::User(app::ids::UserId::random());
    for (limits, left) in [(&one, 2), (&two, 1), (&one, 0)] {
        let verdict = limits.take(Budget::Questions, ada).await;
        assert!(verdict.allowed);
        assert_eq!(verdict.remaining, left);
    }
    let refused = two.take(Budget::Questions, ada).await;
    assert!(!refused.allowed);
    assert!((1..=20).contains(&refused.retry_after_seconds()));
    let address = Subject::Address(IpAddr::from([192, 0, 2, 1]));
    assert!(two.take(Budget::Questions, address).await.allowed);
    assert_eq!((one.redis_failures(), two.redis_failures()), (0, 0));

    redis.stop().await;
    let verdict = one.take(Budget::Questions, ada).await;
    assert!(verdict.allowed, "nobody is refused because Redis is away");
    assert_eq!(verdict.remaining, 2, "but everybody is still counted");
    assert!(one.redis_failures() > 0);
}

#[tokio::test]
async fn without_redis_a_process_counts_for_itself() {
    let limits = Limits::start(&limits(None)).unwrap();
    let ada = Subject::User(app::ids::UserId::random());
    for _ in 0..3 {
        assert!(limits.take(Budget::Questions, ada).await.allowed);
    }
    assert!(!limits.take(Budget::Questions, ada).await.allowed);
    assert!(limits.take(Budget::Uploads, ada).await.allowed);
}
