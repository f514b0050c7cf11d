//! `POST /v1/chat/completions`: answers with sentences from the passages in the last message, with
//! citations.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::api_error::{self, ApiError};
use crate::fault::{Fault, Route};
use crate::request::{ModelRequest, Prepared, prepare};
use crate::{Shared, hash_embedding};

const FIELDS: [&str; 13] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "n",
    "stop",
    "seed",
    "user",
    "store",
];
/// Maximum number of passages in an answer.
const MAX_PASSAGES: usize = 2;
const CHARS_PER_TOKEN: usize = 4;
/// Words with which a question refers to an earlier one.
const REFERENCES: [&str; 6] = ["it", "its", "they", "them", "that", "there"];
/// Delay before closing a connection, so that the data sent so far arrives. Closing a connection
/// discards data that is not written yet.
const FLUSH_DELAY: Duration = Duration::from_millis(50);

pub(crate) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.counts().0.chat_requests += 1;
    match answer(&shared, &headers, &body).await {
        Ok(response) => response,
        Err(api_error) => api_error.into_response(),
    }
}

async fn answer(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, ApiError> {
    let prepared = prepare(shared, Route::Chat, headers, body, &FIELDS).await?;
    let ModelRequest {
        fields,
        model,
        fault,
    } = match prepared {
        Prepared::Request(question_words) => question_words,
        Prepared::Response(response) => return Ok(response),
    };
    if !shared.config.chat_models.contains(&model) {
        return Err(ApiError::unknown_model(&model));
    }
    let message = last_message(fields.get("messages"))?;
    shared.record(fields.get("messages"));
    let limit = max_tokens(&fields)?;
    let is_stream = fields
        .get("stream")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    if fields.contains_key("stream_options") && !is_stream {
        return Err(ApiError::invalid(
            Some("stream_options"),
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        ));
    }
    let with_usage = fields
        .get("stream_options")
        .and_then(|options| options.get("include_usage"))
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let text = match &fault {
        Some(Fault::NotFound) => "NOT_FOUND The passages say nothing of this.".to_owned(),
        Some(Fault::Answer(text)) => text.clone(),
        Some(Fault::InvalidCitation) => format!("{} [99] That is all [2, 77].", compose(message)),
        _ => compose(message),
    };
    let mut pieces = pieces(&text);
    let is_truncated = pieces.len() > limit;
    pieces.truncate(limit);
    let reply = Reply {
        model,
        usage: json!({
            "prompt_tokens": message.chars().count() / CHARS_PER_TOKEN,
            "completion_tokens": pieces.len(),
            "total_tokens": message.chars().count() / CHARS_PER_TOKEN + pieces.len(),
        }),
        pieces,
        finish: if is_truncated { "length" } else { "stop" },
    };
    if !is_stream {
        shared.counts().0.answers += 1;
        return Ok(api_error::json(200, &reply.whole()));
    }
    Ok(stream_of(
        shared.clone(),
        &reply,
        with_usage,
        fault.as_ref(),
    ))
}

fn last_message(messages: Option<&Value>) -> Result<&str, ApiError> {
    let invalid = |what: &str| ApiError::invalid(Some("messages"), what);
    let messages = messages
        .and_then(Value::as_array)
        .filter(|messages| !messages.is_empty())
        .ok_or_else(|| invalid("[] is too short - 'messages'"))?;
    for message in messages {
        let role = message.get("role").and_then(Value::as_str);
        if !matches!(role, Some("system" | "developer" | "user" | "assistant")) {
            return Err(invalid("Invalid value for 'role'."));
        }
        if message.get("content").and_then(Value::as_str).is_none() {
            return Err(invalid(
                "Invalid value for 'content': expected a string, got null.",
            ));
        }
    }
    messages
        .iter()
        .rev()
        .find(|message| message.get("role").and_then(Value::as_str) == Some("user"))
        .and_then(|message| message.get("content").and_then(Value::as_str))
        .ok_or_else(|| invalid("There is no user message."))
}

fn max_tokens(fields: &serde_json::Map<String, Value>) -> Result<usize, ApiError> {
    match (
        fields.get("max_tokens"),
        fields.get("max_completion_tokens"),
    ) {
        (Some(_), Some(_)) => Err(ApiError::invalid(
            Some("max_tokens"),
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        )),
        (None, None) => Ok(usize::MAX),
        (Some(limit), None) | (None, Some(limit)) => limit
            .as_u64()
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| *limit > 0)
            .ok_or_else(|| {
                ApiError::invalid(Some("max_tokens"), "Invalid value for 'max_tokens'.")
            }),
    }
}

/// Rewrites the last question of a conversation, or returns the sentences of the passages that
/// share most words with the question, with citations.
fn compose(message: &str) -> String {
    if let Some((conversation, question)) = message.rsplit_once("Last question:") {
        return rewrite(conversation, question);
    }
    let question = message
        .rsplit_once("Question:")
        .map_or(message, |(_, question)| question);
    let question_words: HashSet<String> = hash_embedding::words(question)
        .filter(|word| hash_embedding::is_significant(word))
        .map(|word| hash_embedding::stem(&word))
        .collect();
    let mut best: Vec<(usize, u32, String)> = passages(message)
        .into_iter()
        .filter_map(|(number, text)| {
            let (shared, sentence) = sentences(&text)
                .map(|sentence| {
                    let has: HashSet<String> = hash_embedding::words(sentence)
                        .map(|word| hash_embedding::stem(&word))
                        .collect();
                    (question_words.intersection(&has).count(), sentence)
                })
                .max_by(|(left, _), (right, _)| {
                    left.cmp(right).then(std::cmp::Ordering::Greater)
                })?;
            let sentence = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
            (shared > 0).then_some((shared, number, sentence))
        })
        .collect();
    best.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(&right.1)));
    best.truncate(MAX_PASSAGES);
    if best.is_empty() {
        return "NOT_FOUND: The passages do not answer this.".to_owned();
    }
    best.iter()
        .map(|(_, number, sentence)| format!("{sentence} [{number}]"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Adds the previous question to the last one, if that refers to something.
fn rewrite(conversation: &str, question: &str) -> String {
    let mut words = hash_embedding::words(question);
    let continues = words.next().is_some_and(|first| first == "and");
    if !continues && !words.any(|word| REFERENCES.contains(&word.as_str())) {
        return question.trim().to_owned();
    }
    let previous = conversation
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("Question:"))
        .unwrap_or_default();
    format!("{} ({})", question.trim(), previous.trim())
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['.', '!', '?'])
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty())
}

/// Returns the passages of a message. A passage starts with a line `Passage [1]` and the line of
/// its fence, and ends with the line that closes the fence.
fn passages(message: &str) -> Vec<(u32, String)> {
    let mut passages = Vec::new();
    let mut lines = message.lines();
    while let Some(line) = lines.next() {
        let number = line
            .strip_prefix("Passage [")
            .and_then(|rest| rest.strip_suffix(']'))
            .and_then(|number| number.parse().ok());
        let (Some(number), Some(fence)) = (
            number,
            lines
                .clone()
                .next()
                .and_then(|line| line.strip_prefix("<<<")),
        ) else {
            continue;
        };
        let end = format!("{fence}>>>");
        let text: Vec<&str> = lines
            .by_ref()
            .skip(1)
            .take_while(|line| *line != end)
            .filter(|line| !line.starts_with("From: "))
            .collect();
        passages.push((number, text.join("\n")));
    }
    passages
}

/// Splits an answer into pieces like a model: words, and citations split in the middle.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for character in text.chars() {
        match pieces.last_mut() {
            Some(piece) if !matches!(character, ' ' | '[' | ']') && !piece.ends_with('[') => {
                piece.push(character);
            }
            _ => pieces.push(character.to_string()),
        }
    }
    pieces
}

struct Reply {
    model: String,
    pieces: Vec<String>,
    finish: &'static str,
    usage: Value,
}

impl Reply {
    fn whole(&self) -> Value {
        json!({
            "id": "chatcmpl-stub", "object": "chat.completion", "created": 0, "model": self.model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": self.pieces.concat()}, "finish_reason": self.finish}],
            "usage": self.usage,
        })
    }

    fn piece(&self, delta: &Value, finish: Option<&str>) -> Bytes {
        self.event(
            &json!([{"index": 0, "delta": delta, "finish_reason": finish}]),
            &Value::Null,
        )
    }

    fn event(&self, choices: &Value, usage: &Value) -> Bytes {
        let event = json!({
            "id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": 0, "model": self.model,
            "choices": choices, "usage": usage,
        });
        Bytes::from(format!("data: {event}\n\n"))
    }
}

/// The next step of the stream.
enum StreamStep {
    Send(Bytes),
    Disconnect,
    Stall,
    Done,
}

fn stream_of(
    shared: Arc<Shared>,
    reply: &Reply,
    with_usage: bool,
    fault: Option<&Fault>,
) -> Response {
    let mut events = vec![StreamStep::Send(
        reply.piece(&json!({"role": "assistant", "content": ""}), None),
    )];
    events.extend(
        reply
            .pieces
            .iter()
            .map(|piece| StreamStep::Send(reply.piece(&json!({"content": piece}), None))),
    );
    match fault {
        Some(Fault::CutAfter(pieces)) => {
            events.truncate(pieces + 1);
            events.push(StreamStep::Disconnect);
        }
        Some(Fault::StallAfter(pieces)) => {
            events.truncate(pieces + 1);
            events.push(StreamStep::Stall);
        }
        Some(Fault::EndAfter(pieces)) => events.truncate(pieces + 1),
        _ => {
            events.push(StreamStep::Send(
                reply.piece(&json!({}), Some(reply.finish)),
            ));
            if with_usage {
                events.push(StreamStep::Send(reply.event(&json!([]), &reply.usage)));
            }
            events.push(StreamStep::Send(Bytes::from_static(b"data: [DONE]\n\n")));
            events.push(StreamStep::Done);
        }
    }
    let delay = shared.config.piece_delay;
    let body = stream::iter(events).filter_map(move |next| {
        let shared = shared.clone();
        async move {
            match next {
                StreamStep::Send(bytes) => {
                    if delay > Duration::ZERO {
                        tokio::time::sleep(delay).await;
                    }
                    Some(Ok(bytes))
                }
                StreamStep::Disconnect => {
                    tokio::time::sleep(FLUSH_DELAY).await;
                    Some(Err(io::Error::from(io::ErrorKind::ConnectionReset)))
                }
                StreamStep::Stall => std::future::pending().await,
                StreamStep::Done => {
                    shared.counts().0.answers += 1;
                    None
                }
            }
        }
    });
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    response
}
