//! A question with its passages -> an answer, as it is written.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::types::chat::{
    ChatCompletionRequestMessage, ChatCompletionResponseStream, ChatCompletionStreamOptions,
    CreateChatCompletionRequest, CreateChatCompletionStreamResponse, FinishReason,
};
use futures::{Stream, StreamExt as _};
use tokio::time::{Sleep, sleep};

use crate::embed::Purpose;
use crate::endpoint::Endpoint;
use crate::error::ModelError;

/// Bytes of a token, for the quota.
const TOKEN_BYTES: usize = 3;

/// Writes answers with one model. Cheap to clone.
#[derive(Clone)]
pub struct Answerer {
    endpoint: Arc<Endpoint>,
    model: Arc<str>,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerEvent {
    /// Text to put behind what came before.
    Text(String),
    /// The answer is whole, or as long as it may be. Nothing comes behind it.
    Finished {
        /// Why it ended.
        finish: Finish,
        /// What it cost, where the endpoint says so.
        usage: Option<Usage>,
    },
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// All is said.
    Complete,
    /// It reached the number of tokens it may have.
    Length,
    /// The endpoint's filter ended it.
    Filtered,
}

/// What an answer cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens that were read.
    pub prompt_tokens: u32,
    /// Tokens that were written.
    pub answer_tokens: u32,
}

impl Answerer {
    pub(crate) fn new(endpoint: Arc<Endpoint>, model: String) -> Self {
        Self {
            endpoint,
            model: model.into(),
        }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.model
    }

    /// Begins an answer of at most `max_tokens`; asks again until one has begun, within limits. Dropping the stream ends the answer at the
    /// endpoint too. The whole answer has no limit here but the stream's pauses have: whoever reads it sets a deadline.
    pub async fn answer(
        &self,
        system: &str,
        user: &str,
        max_tokens: u32,
    ) -> Result<AnswerStream, ModelError> {
        let tokens = (system.len() + user.len()) / TOKEN_BYTES + max_tokens as usize;
        let stream = self
            .endpoint
            .send(tokens, Purpose::Question, || async {
                self.endpoint
                    .client()
                    .chat()
                    .create_stream(self.request(system, user, max_tokens))
                    .await
                    .map_err(ModelError::of_client)
            })
            .await?;
        let pause_limit = self.endpoint.attempt_limit();
        Ok(AnswerStream {
            stream,
            pause_limit,
            pause: Box::pin(sleep(pause_limit)),
            finish: None,
            usage: None,
            is_over: false,
        })
    }

    fn request(&self, system: &str, user: &str, max_tokens: u32) -> CreateChatCompletionRequest {
        let mut request = CreateChatCompletionRequest {
            model: self.model.to_string(),
            messages: vec![
                ChatCompletionRequestMessage::System(system.into()),
                ChatCompletionRequestMessage::User(user.into()),
            ],
            stream: Some(true),
            stream_options: Some(ChatCompletionStreamOptions {
                include_usage: Some(true),
                include_obfuscation: None,
            }),
            ..CreateChatCompletionRequest::default()
        };
        if self.endpoint.is_openai() {
            request.max_completion_tokens = Some(max_tokens);
        } else {
            #[expect(
                deprecated,
                reason = "servers that speak like OpenAI's know the older name"
            )]
            {
                request.max_tokens = Some(max_tokens);
            }
        }
        request
    }
}

impl fmt::Debug for Answerer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Answerer")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// An answer as it is written. Ends with [`AnswerEvent::Finished`] or with an error, and never without one of them.
pub struct AnswerStream {
    stream: ChatCompletionResponseStream,
    pause_limit: Duration,
    pause: Pin<Box<Sleep>>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    is_over: bool,
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AnswerStream")
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

impl AnswerStream {
    /// Takes what a piece says of the answer's end, and returns its text.
    fn read(&mut self, piece: CreateChatCompletionStreamResponse) -> Option<String> {
        if let Some(usage) = piece.usage {
            self.usage = Some(Usage {
                prompt_tokens: usage.prompt_tokens,
                answer_tokens: usage.completion_tokens,
            });
        }
        let choice = piece.choices.into_iter().next()?;
        if let Some(reason) = choice.finish_reason {
            self.finish = Some(match reason {
                FinishReason::Length => Finish::Length,
                FinishReason::ContentFilter => Finish::Filtered,
                _ => Finish::Complete,
            });
        }
        choice
            .delta
            .content
            .or(choice.delta.refusal)
            .filter(|text| !text.is_empty())
    }

    fn end(&mut self, error: Option<ModelError>) -> Result<AnswerEvent, ModelError> {
        self.is_over = true;
        match (self.finish, error) {
            // Whole, whatever became of the connection behind it.
            (Some(finish), _) => Ok(AnswerEvent::Finished {
                finish,
                usage: self.usage,
            }),
            (None, error) => Err(error.unwrap_or(ModelError::BrokenOff)),
        }
    }
}

impl Stream for AnswerStream {
    type Item = Result<AnswerEvent, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        loop {
            match this.stream.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(piece))) => {
                    let next = tokio::time::Instant::now() + this.pause_limit;
                    this.pause.as_mut().reset(next);
                    if let Some(text) = this.read(piece) {
                        return Poll::Ready(Some(Ok(AnswerEvent::Text(text))));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let error = ModelError::of_client(error);
                    return Poll::Ready(Some(this.end(Some(error))));
                }
                Poll::Ready(None) => return Poll::Ready(Some(this.end(None))),
                Poll::Pending => break,
            }
        }
        match this.pause.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(this.end(Some(ModelError::BrokenOff)))),
            Poll::Pending => Poll::Pending,
        }
    }
}
