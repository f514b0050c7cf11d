//! A stream of server-sent events, as they arrive.

use anyhow::Result;
use reqwest::Response;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its lines.
    pub data: String,
}

/// A stream that is listened to.
#[derive(Debug)]
pub struct Events {
    answer: Response,
    bytes: Vec<u8>,
}

impl Events {
    pub(super) fn new(answer: Response) -> Self {
        Self {
            answer,
            bytes: Vec::new(),
        }
    }

    /// The next event; `None` when the server ends the stream. Comments, which keep connections open, are left out.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            while let Some(block) = take_block(&mut self.bytes) {
                if let Some(event) = parse(&block) {
                    return Ok(Some(event));
                }
            }
            match self.answer.chunk().await? {
                Some(chunk) => self.bytes.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// What stands before the next empty line.
fn take_block(bytes: &mut Vec<u8>) -> Option<String> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let block: Vec<u8> = bytes.drain(..end + 2).collect();
    Some(String::from_utf8_lossy(&block).into_owned())
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut lines = Vec::new();
    for line in block.lines() {
        if let Some(name) = line.strip_prefix("event:") {
            name.trim().clone_into(&mut event.name);
        } else if let Some(text) = line.strip_prefix("data:") {
            lines.push(text.strip_prefix(' ').unwrap_or(text));
        }
    }
    event.data = lines.join("\n");
    (!event.name.is_empty() || !lines.is_empty()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_from_a_stream_one_by_one() {
        let mut bytes =
            b": still here\n\nevent: document\ndata: <p>\ndata:</p>\n\nevent: half".to_vec();
        let comment = take_block(&mut bytes).as_deref().and_then(parse);
        assert_eq!(comment, None);
        let event = take_block(&mut bytes).as_deref().and_then(parse);
        assert_eq!(
            event,
            Some(Event {
                name: "document".into(),
                data: "<p>\n</p>".into()
            })
        );
        assert_eq!(take_block(&mut bytes), None, "the rest has not arrived");
    }
}
