//! A stream of server-sent events.

use anyhow::Result;
use reqwest::Response;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    pub name: String,
    /// The event's data lines, joined by newlines.
    pub data: String,
}

#[derive(Debug)]
pub struct EventStream {
    response: Response,
    bytes: Vec<u8>,
}

impl EventStream {
    pub(super) fn new(response: Response) -> Self {
        Self {
            response,
            bytes: Vec::new(),
        }
    }

    /// The next event, or `None` when the server ends the stream. Comments are skipped.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            while let Some(block) = take_block(&mut self.bytes) {
                if let Some(event) = parse(&block) {
                    return Ok(Some(event));
                }
            }
            match self.response.chunk().await? {
                Some(chunk) => self.bytes.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// Removes and returns the text before the next empty line.
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
    fn events_are_parsed_one_at_a_time() {
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
