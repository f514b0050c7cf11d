//! Tests with a real connection: requests, retries and failures.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests fail on unexpected values"
)]

use std::time::Duration;

use futures::StreamExt as _;
use llm::{
    AnswerEvent, ChatMessage, ConfigError, EmbeddingModel, EndpointConfig, Finish, ModelError,
    Models, ModelsConfig, Purpose, Quota, Retry, Usage,
};
use openai_stub::{Config, Fault, Route, Stub};

const KEY: &str = "sk-test";
const MODEL: &str = "text-embedding-3-small";

async fn stub() -> Stub {
    Stub::start(Config {
        api_key: Some(KEY.to_owned()),
        ..Config::default()
    })
    .await
    .unwrap()
}

fn config(stub: &Stub) -> EndpointConfig {
    EndpointConfig {
        base_url: stub.base_url().parse().unwrap(),
        api_key: Some(KEY.into()),
        embeddings: Some(EmbeddingModel::new(MODEL, 1_536).unwrap()),
        answers: Some("gpt-4o-mini".to_owned()),
        quota: Quota {
            attempts: 3,
            backoff: Duration::from_millis(5),
            attempt_limit: Duration::from_secs(20),
            ..Quota::default()
        },
    }
}

fn models(endpoint: EndpointConfig) -> Models {
    Models::new(ModelsConfig {
        endpoint: Some(endpoint),
        local: None,
    })
    .unwrap()
}

fn texts(count: usize) -> Vec<String> {
    (0..count)
        .map(|index| format!("text number {index}"))
        .collect()
}

async fn embed(models: &Models, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
    models.embedder().embed(texts, Purpose::Document).await
}

#[tokio::test]
async fn many_texts_are_sent_in_batches_and_returned_in_order() {
    let stub = stub().await;
    stub.fail_next(Route::Embeddings, Fault::Shuffled);
    let texts = texts(1_000);
    let vectors = embed(&models(config(&stub)), &texts).await.unwrap();
    assert_eq!(vectors.len(), 1_000);
    for (text, vector) in texts.iter().zip(&vectors) {
        let right = openai_stub::vector(text, 1_536);
        let far = right
            .iter()
            .zip(vector)
            .any(|(right, given)| (right - given).abs() > 1e-6);
        assert!(!far, "{text}");
    }
    let counts = stub.counts();
    assert_eq!((counts.embedding_requests, counts.texts), (4, 1_000));
}

#[tokio::test]
async fn concurrent_requests_are_limited() {
    let stub = stub().await;
    stub.fail_always(
        Route::Embeddings,
        Some(Fault::Slow(Duration::from_millis(20))),
    );
    let mut config = config(&stub);
    config.quota.concurrency = 2;
    let models = models(config);
    let texts = texts(256 * 6);
    let (one, other) = tokio::join!(embed(&models, &texts), embed(&models, &texts));
    assert_eq!(
        (one.unwrap().len(), other.unwrap().len()),
        (texts.len(), texts.len())
    );
    let counts = stub.counts();
    assert_eq!(
        (
            counts.embedding_requests,
            counts.max_concurrent_embedding_requests
        ),
        (12, 2)
    );
}

#[tokio::test]
async fn no_texts_send_no_request() {
    let stub = stub().await;
    assert_eq!(embed(&models(config(&stub)), &[]).await.unwrap().len(), 0);
    assert_eq!(stub.counts().embedding_requests, 0);
}

#[tokio::test]
async fn transient_errors_are_retried() {
    let stub = stub().await;
    for fault in [
        Fault::RateLimited { retry_after: None },
        Fault::RateLimited {
            retry_after: Some("0.01".to_owned()),
        },
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(408),
    ] {
        let before = stub.counts().embedding_requests;
        stub.fail_next(Route::Embeddings, fault.clone());
        embed(&models(config(&stub)), &texts(1)).await.unwrap();
        assert_eq!(stub.counts().embedding_requests - before, 2, "{fault:?}");
    }
}

#[tokio::test]
async fn the_number_of_attempts_is_limited() {
    let stub = stub().await;
    stub.fail_always(Route::Embeddings, Some(Fault::Status(502)));
    let error = embed(&models(config(&stub)), &texts(1)).await.unwrap_err();
    assert!(
        matches!(error, ModelError::Unavailable { status: 502, .. }),
        "{error:?}"
    );
    assert_eq!(error.retry(), Retry::Later(None));
    assert_eq!(stub.counts().embedding_requests, 3);
}

#[tokio::test]
async fn permanent_errors_are_not_retried() {
    let stub = stub().await;
    let assert_not_retried = |fault| {
        stub.fail_next(Route::Embeddings, fault);
    };
    assert_not_retried(Fault::InsufficientQuota);
    let error = embed(&models(config(&stub)), &texts(1)).await.unwrap_err();
    assert!(matches!(error, ModelError::QuotaExhausted));
    assert!(error.to_string().contains("billing"));
    assert_not_retried(Fault::Status(400));
    let error = embed(&models(config(&stub)), &texts(1)).await.unwrap_err();
    assert!(matches!(error, ModelError::Rejected { status: 400, .. }));
    assert_eq!(error.retry(), Retry::Never);
    assert_not_retried(Fault::NotJson);
    let error = embed(&models(config(&stub)), &texts(1)).await.unwrap_err();
    assert!(matches!(error, ModelError::InvalidResponse(_)));
    assert_not_retried(Fault::VectorMissing);
    let error = embed(&models(config(&stub)), &texts(2)).await.unwrap_err();
    assert!(matches!(error, ModelError::InvalidResponse(_)));
    assert_not_retried(Fault::WrongDimensions);
    let error = embed(&models(config(&stub)), &texts(1)).await.unwrap_err();
    assert!(matches!(
        error,
        ModelError::WrongDimensions {
            expected: 1_536,
            got: 1_535
        }
    ));
    let mut wrong_key = config(&stub);
    wrong_key.api_key = Some("sk-other".into());
    let error = embed(&models(wrong_key), &texts(1)).await.unwrap_err();
    assert!(matches!(error, ModelError::Unauthorized));
    let mut wrong_model = config(&stub);
    wrong_model.embeddings = Some(EmbeddingModel::new("other", 3).unwrap());
    let error = embed(&models(wrong_model), &texts(1)).await.unwrap_err();
    assert!(matches!(error, ModelError::ModelNotFound));
    assert_eq!(stub.counts().embedding_requests, 7, "one request each");
}

#[tokio::test]
async fn a_long_retry_after_fails_immediately() {
    let stub = stub().await;
    stub.fail_next(
        Route::Embeddings,
        Fault::RateLimited {
            retry_after: Some("3600".to_owned()),
        },
    );
    let error = embed(&models(config(&stub)), &texts(1)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later(Some(Duration::from_hours(1))));
    assert_eq!(stub.counts().embedding_requests, 1);
}

#[tokio::test]
async fn an_endpoint_that_does_not_respond_times_out() {
    let stub = stub().await;
    stub.fail_always(Route::Embeddings, Some(Fault::Hang));
    let mut config = config(&stub);
    config.quota.attempt_limit = Duration::from_millis(100);
    let slow = models(config.clone());
    let error = embed(&slow, &texts(1)).await.unwrap_err();
    assert!(matches!(error, ModelError::TimedOut), "{error:?}");
    assert_eq!(stub.counts().embedding_requests, 3);
    drop(stub);
    let error = embed(&models(config), &texts(1)).await.unwrap_err();
    assert!(
        matches!(error, ModelError::Unreachable | ModelError::TimedOut),
        "{error:?}"
    );
}

#[tokio::test]
async fn requested_dimensions_are_part_of_the_name() {
    let stub = stub().await;
    let mut config = config(&stub);
    config.embeddings = Some(EmbeddingModel::new(MODEL, 512).unwrap());
    let models = models(config);
    assert_eq!(models.embedder().name(), "text-embedding-3-small:512");
    assert_eq!(embed(&models, &texts(1)).await.unwrap()[0].len(), 512);
    let old = models.embedder_named("text-embedding-3-large").unwrap();
    let vectors = old.embed(&texts(1), Purpose::Question).await.unwrap();
    assert_eq!(vectors[0].len(), 3_072);
    assert!(models.embedder_named("all-MiniLM-L6-v2").is_none());
    assert!(models.embedder_named("of-unknown-size").is_none());
}

async fn read(
    models: &Models,
    user: &str,
    max_tokens: u32,
) -> (String, Result<AnswerEvent, ModelError>) {
    let chat_model = models.chat_model().unwrap();
    let messages = [
        ChatMessage::System("Be brief.".to_owned()),
        ChatMessage::User(user.to_owned()),
    ];
    let mut stream = chat_model.answer(&messages, max_tokens).await.unwrap();
    let mut text = String::new();
    loop {
        match stream.next().await {
            Some(Ok(AnswerEvent::Text(piece))) => text.push_str(&piece),
            Some(end) => {
                assert!(stream.next().await.is_none(), "the end is the last event");
                return (text, end);
            }
            None => panic!("the stream ended without a final event"),
        }
    }
}

const PROMPT: &str = "Passage [1]\n<<<f\nFrom: a, page 1\nThe filter is changed every 500 hours.\nf>>>\n\nQuestion: When is the filter changed?";

#[tokio::test]
async fn an_answer_is_streamed_with_its_usage() {
    let stub = stub().await;
    stub.fail_next(Route::Chat, Fault::Status(500));
    let (text, end) = read(&models(config(&stub)), PROMPT, 100).await;
    assert_eq!(text, "The filter is changed every 500 hours. [1]");
    let Ok(AnswerEvent::Finished {
        finish: Finish::Complete,
        usage: Some(Usage { answer_tokens, .. }),
    }) = end
    else {
        panic!("{end:?}");
    };
    assert!(answer_tokens > 5);
    assert_eq!((stub.counts().chat_requests, stub.counts().answers), (2, 1));
}

#[tokio::test]
async fn an_answer_that_reaches_its_maximum_length_reports_it() {
    let stub = stub().await;
    let (text, end) = read(&models(config(&stub)), PROMPT, 2).await;
    assert!(text.len() < 20);
    assert!(
        matches!(
            end,
            Ok(AnswerEvent::Finished {
                finish: Finish::Length,
                ..
            })
        ),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_conversation_is_sent_in_order_and_completed() {
    let stub = stub().await;
    let models = models(config(&stub));
    let messages = [
        ChatMessage::System("Be brief.".to_owned()),
        ChatMessage::User("What is changed?".to_owned()),
        ChatMessage::Assistant("The filter.".to_owned()),
        ChatMessage::User(PROMPT.to_owned()),
    ];
    let chat_model = models.chat_model().unwrap();
    let completion = chat_model.complete(&messages, 100).await.unwrap();
    assert_eq!(
        completion.text,
        "The filter is changed every 500 hours. [1]"
    );
    assert_eq!(completion.finish, Finish::Complete);
    let sent: Vec<(String, String)> = stub.last_messages();
    let sent: Vec<(&str, &str)> = sent
        .iter()
        .map(|(role, text)| (role.as_str(), text.as_str()))
        .collect();
    assert_eq!(
        sent,
        [
            ("system", "Be brief."),
            ("user", "What is changed?"),
            ("assistant", "The filter."),
            ("user", PROMPT),
        ]
    );
    stub.fail_next(Route::Chat, Fault::EndAfter(3));
    let cut = chat_model.complete(&messages, 100).await;
    assert!(matches!(cut, Err(ModelError::Interrupted)), "{cut:?}");
}

#[tokio::test]
async fn an_answer_that_is_cut_stalls_or_ends_early_is_an_error() {
    let stub = stub().await;
    let mut config = config(&stub);
    config.quota.attempt_limit = Duration::from_millis(300);
    let models = models(config);
    for fault in [Fault::CutAfter(3), Fault::StallAfter(3), Fault::EndAfter(3)] {
        stub.fail_next(Route::Chat, fault.clone());
        let (text, end) = read(&models, PROMPT, 100).await;
        assert_eq!(text, "The filter is", "{fault:?}");
        assert!(
            matches!(end, Err(ModelError::Interrupted)),
            "{fault:?} {end:?}"
        );
    }
    stub.fail_next(Route::Chat, Fault::NotJson);
    let (_, end) = read(&models, PROMPT, 100).await;
    assert!(
        matches!(end, Err(ModelError::InvalidResponse(_))),
        "{end:?}"
    );
}

#[tokio::test]
async fn dropping_an_answer_cancels_it_at_the_endpoint() {
    let stub = Stub::start(Config {
        piece_delay: Duration::from_millis(20),
        ..Config::default()
    })
    .await
    .unwrap();
    let models = models(config(&stub));
    let chat_model = models.chat_model().unwrap();
    let messages = [ChatMessage::User(PROMPT.to_owned())];
    let mut stream = chat_model.answer(&messages, 100).await.unwrap();
    assert!(stream.next().await.is_some());
    drop(stream);
    // The next answer is read completely; by then the first one would have been complete too.
    let (_, end) = read(&models, PROMPT, 100).await;
    assert!(end.is_ok());
    assert_eq!(stub.counts().answers, 1);
}

#[tokio::test]
async fn an_invalid_configuration_is_rejected() {
    let stub = stub().await;
    let config_error = |change: fn(&mut EndpointConfig)| {
        let mut config = config(&stub);
        change(&mut config);
        Models::new(ModelsConfig {
            endpoint: Some(config),
            local: None,
        })
        .unwrap_err()
    };
    assert!(matches!(
        config_error(|config| config.base_url = "ftp://x/".parse().unwrap()),
        ConfigError::BaseUrl
    ));
    assert!(matches!(
        config_error(|config| config.base_url = "https://u:p@x/v1".parse().unwrap()),
        ConfigError::BaseUrl
    ));
    assert!(matches!(
        config_error(|config| config.api_key = Some("a\nb".into())),
        ConfigError::ApiKey
    ));
    assert!(matches!(
        config_error(|config| config.answers = Some(String::new())),
        ConfigError::ModelName
    ));
    assert!(matches!(
        config_error(|config| config.quota.attempts = 0),
        ConfigError::Quota
    ));
    assert!(matches!(
        config_error(|config| config.embeddings = None),
        ConfigError::NoEmbeddings
    ));
    assert!(matches!(
        EmbeddingModel::new(MODEL, 2_000),
        Err(ConfigError::Dimensions)
    ));
    let printed = format!("{:?}", config(&stub));
    assert!(!printed.contains(KEY), "{printed}");
}
