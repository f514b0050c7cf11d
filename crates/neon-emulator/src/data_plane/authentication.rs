//! Authentication: relays the messages between PostgreSQL and the client, unless the client uses
//! channel binding.

use bytes::BytesMut;
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};

use super::pooler;
use super::relay::{BUFFER_BYTES, ByteStream, READY_FOR_QUERY};
use super::scram::{
    self, ClientKey, RoleSecret, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, SaltedPasswords, ScramError,
};
use super::session_start::SessionStart;
use super::wire::{Message, put_message};

/// Message types of authentication requests and responses.
const AUTHENTICATION: u8 = b'R';
const SASL_RESPONSE: u8 = b'p';
/// Types of authentication requests.
const SASL: [u8; 4] = [0, 0, 0, 10];
const SASL_CONTINUE: [u8; 4] = [0, 0, 0, 11];
const SASL_FINAL: [u8; 4] = [0, 0, 0, 12];

/// Maximum number of bytes that a client may send before it is authenticated; more than the longest
/// authentication message.
const MAX_PIPELINED_BYTES: usize = 128 * 1024;

/// What is needed to authenticate a client with channel binding.
pub(super) struct ChannelBinding<'a> {
    /// The TLS certificate of the connection (DER).
    pub(super) certificate: &'a [u8],
    pub(super) secret: &'a RoleSecret,
    pub(super) passwords: &'a SaltedPasswords,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum AuthOutcome {
    /// The client is authenticated, and PostgreSQL is ready for queries.
    Authenticated(SessionStart),
    /// PostgreSQL rejected the client and has sent an error, or one side disconnected.
    Rejected,
    /// The password is wrong. The client has not received an error yet.
    WrongPassword,
}

/// Both sides of an authentication, with the bytes received but not processed yet.
struct Handshake<'a, C, B> {
    client: &'a mut C,
    backend: &'a mut B,
    from_client: BytesMut,
    from_backend: BytesMut,
}

/// Authenticates a client. `replacements` are replacements in the messages that it receives.
pub(super) async fn authenticate(
    client: &mut impl ByteStream,
    backend: &mut impl ByteStream,
    replacements: &[(String, String)],
    binding: &ChannelBinding<'_>,
) -> io::Result<AuthOutcome> {
    let mut handshake = Handshake {
        client,
        backend,
        from_client: BytesMut::with_capacity(BUFFER_BYTES),
        from_backend: BytesMut::with_capacity(BUFFER_BYTES),
    };
    // PostgreSQL speaks first, with the authentication method.
    let Some(first) = next(handshake.backend, &mut handshake.from_backend).await? else {
        return Ok(AuthOutcome::Rejected);
    };
    if first.kind == AUTHENTICATION && first.body.starts_with(&SASL) {
        match handshake.negotiate_mechanism(binding).await? {
            AuthOutcome::Authenticated(_) => {}
            outcome => return Ok(outcome),
        }
    } else {
        let mut packet = BytesMut::new();
        first.with_replacements(replacements).put(&mut packet);
        handshake.client.write_all(&packet).await?;
        handshake.client.flush().await?;
    }
    let start = handshake.relay_until_ready(replacements).await?;
    Ok(start.map_or(AuthOutcome::Rejected, AuthOutcome::Authenticated))
}

/// The next complete message; `None` if the other side disconnected.
async fn next(stream: &mut impl ByteStream, buffer: &mut BytesMut) -> io::Result<Option<Message>> {
    loop {
        if let Some(message) = Message::take(buffer)? {
            return Ok(Some(message));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn send(stream: &mut impl ByteStream, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let mut packet = BytesMut::new();
    put_message(&mut packet, kind, parts);
    stream.write_all(&packet).await?;
    stream.flush().await
}

fn malformed(error: ScramError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<C: ByteStream, B: ByteStream> Handshake<'_, C, B> {
    /// Offers both mechanisms. Without channel binding, the exchange continues between the client
    /// and PostgreSQL.
    async fn negotiate_mechanism(
        &mut self,
        binding: &ChannelBinding<'_>,
    ) -> io::Result<AuthOutcome> {
        let offered = format!("{SCRAM_SHA_256_PLUS}\0{SCRAM_SHA_256}\0\0");
        send(self.client, AUTHENTICATION, &[&SASL, offered.as_bytes()]).await?;
        let Some(chosen) = next(self.client, &mut self.from_client).await? else {
            return Ok(AuthOutcome::Rejected);
        };
        let (mechanism, client_first) = chosen_mechanism(&chosen)
            .ok_or(ScramError::Malformed)
            .map_err(malformed)?;
        if mechanism != SCRAM_SHA_256_PLUS {
            let mut packet = BytesMut::new();
            chosen.put(&mut packet);
            self.backend.write_all(&packet).await?;
            self.backend.flush().await?;
            return Ok(AuthOutcome::Authenticated(SessionStart::default()));
        }
        let server = scram::Server::begin(
            client_first,
            binding.certificate,
            binding.secret,
            binding.passwords,
        )
        .map_err(malformed)?;
        send(
            self.client,
            AUTHENTICATION,
            &[&SASL_CONTINUE, server.first().as_bytes()],
        )
        .await?;
        let Some(last) = next(self.client, &mut self.from_client).await? else {
            return Ok(AuthOutcome::Rejected);
        };
        let (server_final, key) = match server.finish(text(&last.body)?) {
            Ok(finished) => finished,
            Err(ScramError::WrongPassword) => return Ok(AuthOutcome::WrongPassword),
            Err(error) => return Err(malformed(error)),
        };
        send(
            self.client,
            AUTHENTICATION,
            &[&SASL_FINAL, server_final.as_bytes()],
        )
        .await?;
        self.authenticate_to_backend(binding, key).await
    }

    /// Authenticates to PostgreSQL with the password that the client has proved to know.
    async fn authenticate_to_backend(
        &mut self,
        binding: &ChannelBinding<'_>,
        key: ClientKey,
    ) -> io::Result<AuthOutcome> {
        let scram_client = scram::Client::begin();
        let first = scram_client.first();
        let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mechanism = format!("{SCRAM_SHA_256}\0");
        let initial: [&[u8]; 3] = [mechanism.as_bytes(), &length, first.as_bytes()];
        send(self.backend, SASL_RESPONSE, &initial).await?;
        let Some(answer) = next(self.backend, &mut self.from_backend).await? else {
            return Ok(AuthOutcome::Rejected);
        };
        let server_first = answer
            .body
            .strip_prefix(&SASL_CONTINUE)
            .ok_or(ScramError::Malformed)
            .map_err(malformed)?;
        let last = scram_client
            .finish(text(server_first)?, binding.secret, key, binding.passwords)
            .map_err(malformed)?;
        send(self.backend, SASL_RESPONSE, &[last.as_bytes()]).await?;
        match next(self.backend, &mut self.from_backend).await? {
            Some(answer) if answer.kind == AUTHENTICATION => {
                Ok(AuthOutcome::Authenticated(SessionStart::default()))
            }
            // The password was changed in the meantime.
            Some(_) => Ok(AuthOutcome::WrongPassword),
            None => Ok(AuthOutcome::Rejected),
        }
    }

    /// Relays messages until PostgreSQL is ready for queries. Anything else that the client sends
    /// is kept until then.
    async fn relay_until_ready(
        mut self,
        replacements: &[(String, String)],
    ) -> io::Result<Option<SessionStart>> {
        let mut to_client = BytesMut::with_capacity(BUFFER_BYTES);
        let mut backslash_escapes = false;
        loop {
            let mut ready = BytesMut::new();
            while ready.is_empty()
                && let Some(message) = Message::take(&mut self.from_backend)?
            {
                backslash_escapes = pooler::backslash_escapes(message.kind, &message.body)
                    .unwrap_or(backslash_escapes);
                let target = match message.kind {
                    READY_FOR_QUERY => &mut ready,
                    _ => &mut to_client,
                };
                message.with_replacements(replacements).put(target);
            }
            if !to_client.is_empty() {
                self.client.write_all(&to_client).await?;
                self.client.flush().await?;
                to_client.clear();
            }
            if !ready.is_empty() {
                ready.extend_from_slice(&self.from_backend);
                return Ok(Some(SessionStart {
                    ready,
                    pipelined: self.from_client,
                    backslash_escapes,
                }));
            }
            while self.from_client.first() == Some(&SASL_RESPONSE)
                && let Some(message) = Message::take(&mut self.from_client)?
            {
                send(self.backend, message.kind, &[&message.body]).await?;
            }
            tokio::select! {
                read = self.client.read_buf(&mut self.from_client), if self.from_client.len() < MAX_PIPELINED_BYTES => {
                    if read? == 0 {
                        return Ok(None);
                    }
                }
                read = self.backend.read_buf(&mut self.from_backend) => {
                    if read? == 0 {
                        // The last bytes may be an incomplete message.
                        self.client.write_all(&self.from_backend).await?;
                        self.client.flush().await?;
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// The mechanism that a client selected, and its first message.
fn chosen_mechanism(message: &Message) -> Option<(&str, &str)> {
    if message.kind != SASL_RESPONSE {
        return None;
    }
    let end = message.body.iter().position(|byte| *byte == 0)?;
    let mechanism = std::str::from_utf8(&message.body[..end]).ok()?;
    let first = message.body.get(end + 5..)?;
    Some((mechanism, std::str::from_utf8(first).ok()?))
}

fn text(bytes: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pipelined_statements_are_kept_until_the_client_is_authenticated() {
        let (mut client, mut seen_by_client) = io::duplex(BUFFER_BYTES);
        let (mut backend, mut postgres) = io::duplex(BUFFER_BYTES);
        let statement = b"Q\0\0\0\x0dSELECT 1\0";
        seen_by_client.write_all(statement).await.unwrap();
        postgres.write_all(b"R\0\0\0\x08\0\0\0\0").await.unwrap();
        let secret = RoleSecret::Password("npg_x".into());
        let binding = ChannelBinding {
            certificate: b"",
            secret: &secret,
            passwords: &SaltedPasswords::default(),
        };
        let ready = b"Z\0\0\0\x05I";
        let (outcome, ()) = tokio::join!(
            authenticate(&mut client, &mut backend, &[], &binding),
            async {
                // After this message was relayed, the pipelined bytes have been available for
                // reading.
                let mut message = [0; 9];
                seen_by_client.read_exact(&mut message).await.unwrap();
                postgres.write_all(ready).await.unwrap();
            }
        );
        assert_eq!(
            outcome.unwrap(),
            AuthOutcome::Authenticated(SessionStart {
                ready: BytesMut::from(&ready[..]),
                pipelined: BytesMut::from(&statement[..]),
                backslash_escapes: false,
            })
        );
        drop(backend);
        let mut passed = Vec::new();
        postgres.read_to_end(&mut passed).await.unwrap();
        assert_eq!(passed, b"");
    }
}
