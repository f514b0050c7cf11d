//! The parts of PostgreSQL's wire protocol that the proxy needs before a client is authenticated.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{self, AsyncRead, AsyncReadExt};

/// Maximum size of the first packet, in bytes (PostgreSQL's own limit).
const MAX_STARTUP_BYTES: usize = 10_000;
/// Maximum size of a message before a client is authenticated, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Size of a message's type and length fields, in bytes.
pub(super) const HEADER_BYTES: usize = 5;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// The first packet of a client.
#[derive(Debug)]
pub(super) enum InitialPacket {
    SslRequest,
    GssEncRequest,
    /// The packet is forwarded unchanged.
    CancelRequest(Bytes),
    Startup(StartupMessage),
}

/// The startup message: the protocol version and the parameters, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StartupMessage {
    pub(super) version: u32,
    pub(super) parameters: Vec<(String, String)>,
}

impl StartupMessage {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Sets or removes a parameter.
    pub(super) fn set(&mut self, name: &str, value: Option<String>) {
        self.parameters.retain(|(key, _)| key != name);
        if let Some(value) = value {
            self.parameters.push((name.to_owned(), value));
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut body = BytesMut::new();
        body.put_u32(self.version);
        for (key, value) in &self.parameters {
            put_text(&mut body, key);
            put_text(&mut body, value);
        }
        body.put_u8(0);
        let mut packet = BytesMut::with_capacity(body.len() + 4);
        packet.put_u32(u32::try_from(body.len() + 4).unwrap_or(u32::MAX));
        packet.extend_from_slice(&body);
        packet.freeze()
    }

    fn decode(version: u32, mut body: &[u8]) -> Option<Self> {
        let mut parameters = Vec::new();
        loop {
            let key = take_text(&mut body)?;
            if key.is_empty() {
                return Some(Self {
                    version,
                    parameters,
                });
            }
            parameters.push((key, take_text(&mut body)?));
        }
    }
}

/// Reads the first packet of a client.
pub(super) async fn read_initial_packet(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<InitialPacket> {
    let length = stream.read_u32().await? as usize;
    if !(8..=MAX_STARTUP_BYTES).contains(&length) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "invalid length of the first packet",
        ));
    }
    let mut packet = vec![0; length - 4];
    stream.read_exact(&mut packet).await?;
    let mut body = packet.as_slice();
    match body.get_u32() {
        SSL_REQUEST => Ok(InitialPacket::SslRequest),
        GSS_REQUEST => Ok(InitialPacket::GssEncRequest),
        CANCEL_REQUEST => {
            let mut whole = BytesMut::new();
            whole.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
            whole.extend_from_slice(&packet);
            Ok(InitialPacket::CancelRequest(whole.freeze()))
        }
        version => StartupMessage::decode(version, body)
            .map(InitialPacket::Startup)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "malformed startup message")),
    }
}

/// The type and total size in bytes of the next message, if its header is complete.
pub(super) fn header(buffer: &[u8]) -> io::Result<Option<(u8, usize)>> {
    let Some(&[kind, a, b, c, d]) = buffer.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length < 4 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "invalid message length",
        ));
    }
    Ok(Some((kind, length + 1)))
}

/// A message: its type, and its body after the length field.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) body: Bytes,
}

impl Message {
    /// Removes a complete message from the front of a buffer, if there is one.
    pub(super) fn take(buffer: &mut BytesMut) -> io::Result<Option<Self>> {
        Self::take_limited(buffer, MAX_MESSAGE_BYTES)
    }

    pub(super) fn take_limited(
        buffer: &mut BytesMut,
        max_bytes: usize,
    ) -> io::Result<Option<Self>> {
        let Some((&kind, rest)) = buffer.split_first() else {
            return Ok(None);
        };
        let Some(length) = rest
            .first_chunk::<4>()
            .map(|bytes| u32::from_be_bytes(*bytes) as usize)
        else {
            return Ok(None);
        };
        if !(4..=max_bytes).contains(&length) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "invalid message length",
            ));
        }
        if buffer.len() < length + 1 {
            return Ok(None);
        }
        let mut whole = buffer.split_to(length + 1);
        whole.advance(5);
        Ok(Some(Self {
            kind,
            body: whole.freeze(),
        }))
    }

    pub(super) fn put(&self, buffer: &mut BytesMut) {
        put_message(buffer, self.kind, &[&self.body]);
    }

    /// Replaces names in the message, if it is of a type that contains names.
    pub(super) fn with_replacements(self, replacements: &[(String, String)]) -> Self {
        const ERROR: u8 = b'E';
        const NOTICE: u8 = b'N';
        const PARAMETER_STATUS: u8 = b'S';
        if !matches!(self.kind, ERROR | NOTICE | PARAMETER_STATUS) {
            return self;
        }
        let Ok(text) = std::str::from_utf8(&self.body) else {
            return self;
        };
        if !replacements
            .iter()
            .any(|(physical, _)| text.contains(physical.as_str()))
        {
            return self;
        }
        // Fields are zero-terminated and contain no lengths, so replacing text keeps the message
        // valid.
        let text = replacements
            .iter()
            .fold(text.to_owned(), |text, (physical, name)| {
                text.replace(physical.as_str(), name)
            });
        Self {
            kind: self.kind,
            body: Bytes::from(text.into_bytes()),
        }
    }
}

/// Appends a message whose body consists of these parts.
pub(super) fn put_message(buffer: &mut BytesMut, kind: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    buffer.put_u8(kind);
    buffer.put_u32(u32::try_from(length + 4).unwrap_or(u32::MAX));
    for part in parts {
        buffer.extend_from_slice(part);
    }
}

/// An `ErrorResponse` message with these fields.
pub(super) fn error(fields: &[(u8, &str)]) -> Bytes {
    let mut body = BytesMut::new();
    for (kind, value) in fields {
        body.put_u8(*kind);
        put_text(&mut body, value);
    }
    body.put_u8(0);
    let mut packet = BytesMut::new();
    put_message(&mut packet, b'E', &[&body]);
    packet.freeze()
}

fn put_text(buffer: &mut BytesMut, text: &str) {
    buffer.extend_from_slice(text.as_bytes());
    buffer.put_u8(0);
}

fn take_text(body: &mut &[u8]) -> Option<String> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(&body[..end]).ok()?.to_owned();
    body.advance(end + 1);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_startup_message_survives_a_round_trip() {
        let startup = StartupMessage {
            version: 196_608,
            parameters: vec![
                ("user".into(), "neondb_owner".into()),
                ("options".into(), String::new()),
            ],
        };
        let InitialPacket::Startup(read) = read_initial_packet(&mut startup.encode().as_ref())
            .await
            .unwrap()
        else {
            panic!("not a startup message")
        };
        assert_eq!(read, startup);
    }

    #[tokio::test]
    async fn a_first_packet_that_is_truncated_or_too_long_is_rejected() {
        for bytes in [
            &[0, 0, 0, 4][..],
            &[0, 0, 0, 12, 0, 3, 0, 0, b'u', 0, b'x', b'y'],
            &[0x7f, 0xff, 0xff, 0xff, 0],
        ] {
            assert!(
                read_initial_packet(&mut &*bytes).await.is_err(),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn messages_are_taken_one_by_one_when_they_are_complete() {
        let mut buffer = BytesMut::new();
        Message {
            kind: b'R',
            body: Bytes::from_static(b"one"),
        }
        .put(&mut buffer);
        Message {
            kind: b'Z',
            body: Bytes::from_static(b"I"),
        }
        .put(&mut buffer);
        let last = buffer.split_off(buffer.len() - 1);
        assert_eq!(Message::take(&mut buffer).unwrap().unwrap().kind, b'R');
        assert!(Message::take(&mut buffer).unwrap().is_none());
        buffer.unsplit(last);
        assert_eq!(&Message::take(&mut buffer).unwrap().unwrap().body[..], b"I");
    }

    #[test]
    fn errors_contain_the_names_that_the_client_knows() {
        let mut packet = BytesMut::from(
            &error(&[(
                b'M',
                "password authentication failed for user \"role_br_1\"",
            )])[..],
        );
        let message = Message::take(&mut packet).unwrap().unwrap();
        let shown = message.with_replacements(&[("role_br_1".into(), "neondb_owner".into())]);
        let text = String::from_utf8_lossy(&shown.body);
        assert!(
            text.contains("user \"neondb_owner\"") && !text.contains("role_br_1"),
            "{text}"
        );
    }
}
