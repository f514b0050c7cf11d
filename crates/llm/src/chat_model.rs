//! Streams the answer of a chat model.

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

use crate::endpoint::Endpoint;
use crate::error::ModelError;
use crate::purpose::Purpose;

/// Bytes per token, used to estimate token counts for the quota.
const BYTES_PER_TOKEN: usize = 3;

/// A chat model. Cheap to clone.
#[derive(Clone)]
pub struct ChatModel {
    endpoint: Arc<Endpoint>,
    model: Arc<str>,
}

/// A message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatMessage {
    /// The rules that the model has to follow.
    System(String),
    User(String),
    /// An earlier answer of the model.
    Assistant(String),
}

impl ChatMessage {
    fn text(&self) -> &str {
        match self {
            Self::System(text) | Self::User(text) | Self::Assistant(text) => text,
        }
    }

    fn to_request(&self) -> ChatCompletionRequestMessage {
        match self {
            Self::System(text) => ChatCompletionRequestMessage::System(text.as_str().into()),
            Self::User(text) => ChatCompletionRequestMessage::User(text.as_str().into()),
            Self::Assistant(text) => ChatCompletionRequestMessage::Assistant(text.as_str().into()),
        }
    }
}

/// An event of an answer stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerEvent {
    /// The next piece of the text.
    Text(String),
    /// The answer is complete or reached its maximum length. This is the last event.
    Finished {
        finish: Finish,
        /// Token usage, if the endpoint reports it.
        usage: Option<Usage>,
    },
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub text: String,
    pub finish: Finish,
    pub usage: Option<Usage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Complete,
    /// The answer reached its maximum number of tokens.
    Length,
    /// The endpoint's content filter ended the answer.
    Filtered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub prompt_tokens: u32,
    pub answer_tokens: u32,
}

impl ChatModel {
    pub(crate) fn new(endpoint: Arc<Endpoint>, model: String) -> Self {
        Self {
            endpoint,
            model: model.into(),
        }
    }

    pub fn name(&self) -> &str {
        &self.model
    }

    /// Starts an answer of at most `max_tokens`, with retries until the first response. Dropping
    /// the stream also cancels the answer at the endpoint. Pauses in the stream are limited but its
    /// total duration is not: the caller must set a deadline.
    pub async fn answer(
        &self,
        messages: &[ChatMessage],
        max_tokens: u32,
    ) -> Result<AnswerStream, ModelError> {
        let bytes: usize = messages.iter().map(|message| message.text().len()).sum();
        let tokens = bytes / BYTES_PER_TOKEN + max_tokens as usize;
        let stream = self
            .endpoint
            .send(tokens, Purpose::Question, || async {
                self.endpoint
                    .client()
                    .chat()
                    .create_stream(self.request(messages, max_tokens))
                    .await
                    .map_err(ModelError::from_client)
            })
            .await?;
        let pause_limit = self.endpoint.attempt_limit();
        Ok(AnswerStream {
            stream,
            pause_limit,
            pause: Box::pin(sleep(pause_limit)),
            finish: None,
            usage: None,
            is_finished: false,
        })
    }

    /// Reads a whole answer of at most `max_tokens`. The caller must set a deadline.
    pub async fn complete(
        &self,
        messages: &[ChatMessage],
        max_tokens: u32,
    ) -> Result<Completion, ModelError> {
        let mut stream = self.answer(messages, max_tokens).await?;
        let mut text = String::new();
        loop {
            match stream.next().await {
                Some(Ok(AnswerEvent::Text(piece))) => text.push_str(&piece),
                Some(Ok(AnswerEvent::Finished { finish, usage })) => {
                    return Ok(Completion {
                        text,
                        finish,
                        usage,
                    });
                }
                Some(Err(error)) => return Err(error),
                None => return Err(ModelError::Interrupted),
            }
        }
    }

    fn request(&self, messages: &[ChatMessage], max_tokens: u32) -> CreateChatCompletionRequest {
        let mut request = CreateChatCompletionRequest {
            model: self.model.to_string(),
            messages: messages.iter().map(ChatMessage::to_request).collect(),
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
                reason = "other OpenAI-compatible servers support only the older name"
            )]
            {
                request.max_tokens = Some(max_tokens);
            }
        }
        request
    }
}

impl fmt::Debug for ChatModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChatModel")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// A streamed answer. The stream ends with [`AnswerEvent::Finished`] or with an error.
pub struct AnswerStream {
    stream: ChatCompletionResponseStream,
    pause_limit: Duration,
    pause: Pin<Box<Sleep>>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    is_finished: bool,
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AnswerStream")
            .field("is_finished", &self.is_finished)
            .finish_non_exhaustive()
    }
}

impl AnswerStream {
    /// Records the end of the answer from a chunk and returns the chunk's text.
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
        self.is_finished = true;
        match (self.finish, error) {
            // The answer is complete, even if the connection failed afterwards.
            (Some(finish), _) => Ok(AnswerEvent::Finished {
                finish,
                usage: self.usage,
            }),
            (None, error) => Err(error.unwrap_or(ModelError::Interrupted)),
        }
    }
}

impl Stream for AnswerStream {
    type Item = Result<AnswerEvent, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_finished {
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
                    let error = ModelError::from_client(error);
                    return Poll::Ready(Some(this.end(Some(error))));
                }
                Poll::Ready(None) => return Poll::Ready(Some(this.end(None))),
                Poll::Pending => break,
            }
        }
        match this.pause.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(this.end(Some(ModelError::Interrupted)))),
            Poll::Pending => Poll::Pending,
        }
    }
}
