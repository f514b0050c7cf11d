//! Bytes between a client and PostgreSQL: first message by message, then as they come.

use std::sync::Arc;

use super::scram::{self, BOUND, SaltedPasswords, ScramError, UNBOUND};
use super::sessions::Activity;
use super::wire::Message;
use crate::clock::Clock;
use bytes::BytesMut;
use secrecy::SecretString;
use tokio::io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes that are held for each direction.
const BUFFER_BYTES: usize = 32 * 1024;
/// The longest message while messages are counted, in bytes.
const COUNTED_MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// PostgreSQL's word that a client is signed in.
const READY_FOR_QUERY: u8 = b'Z';

/// The kind of messages about signing in from the server, and of the client's.
const AUTHENTICATION: u8 = b'R';
const SASL_RESPONSE: u8 = b'p';
/// How messages about signing in begin.
const SASL: [u8; 4] = [0, 0, 0, 10];
const SASL_CONTINUE: [u8; 4] = [0, 0, 0, 11];
const SASL_FINAL: [u8; 4] = [0, 0, 0, 12];

/// A connection, whatever it runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// What a client that binds its sign-in to the TLS connection signs in with here.
pub(super) struct Binding<'a> {
    /// The certificate of the connection (DER).
    pub(super) certificate: &'a [u8],
    pub(super) password: &'a SecretString,
    pub(super) passwords: &'a SaltedPasswords,
}

/// How a sign-in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignedIn {
    Yes,
    /// PostgreSQL refused, and said so, or somebody went away.
    No,
    /// The password is wrong. The client has not been told.
    WrongPassword,
}

/// Both sides of a sign-in, with what has come and was not used yet.
struct Talk<'a, C, B> {
    client: &'a mut C,
    backend: &'a mut B,
    from_client: BytesMut,
    from_backend: BytesMut,
}

/// Signs a client in, with the names that it knows in what it is told.
pub(super) async fn sign_in(
    client: &mut impl Stream,
    backend: &mut impl Stream,
    names: &[(String, String)],
    binding: &Binding<'_>,
) -> io::Result<SignedIn> {
    let mut talk = Talk {
        client,
        backend,
        from_client: BytesMut::with_capacity(BUFFER_BYTES),
        from_backend: BytesMut::with_capacity(BUFFER_BYTES),
    };
    // PostgreSQL speaks first: it says how it wants the client to sign in.
    let Some(first) = next(talk.backend, &mut talk.from_backend).await? else {
        return Ok(SignedIn::No);
    };
    if first.kind == AUTHENTICATION && first.body.starts_with(&SASL) {
        match talk.authenticate(binding).await? {
            SignedIn::Yes => {}
            refused => return Ok(refused),
        }
    } else {
        let mut packet = BytesMut::new();
        first.with_names(names).put(&mut packet);
        talk.client.write_all(&packet).await?;
        talk.client.flush().await?;
    }
    let ready = talk.pass_until_ready(names).await?;
    Ok(if ready { SignedIn::Yes } else { SignedIn::No })
}

/// The next whole message; `None` when the other side went away.
async fn next(stream: &mut impl Stream, buffer: &mut BytesMut) -> io::Result<Option<Message>> {
    loop {
        if let Some(message) = Message::take(buffer)? {
            return Ok(Some(message));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn send(stream: &mut impl Stream, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let mut packet = BytesMut::new();
    Message {
        kind,
        body: parts.concat().into(),
    }
    .put(&mut packet);
    stream.write_all(&packet).await?;
    stream.flush().await
}

fn malformed(error: ScramError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<C: Stream, B: Stream> Talk<'_, C, B> {
    /// Offers both mechanisms. What a client does that does not bind is PostgreSQL's from here on.
    async fn authenticate(&mut self, binding: &Binding<'_>) -> io::Result<SignedIn> {
        let offered = format!("{BOUND}\0{UNBOUND}\0\0");
        send(self.client, AUTHENTICATION, &[&SASL, offered.as_bytes()]).await?;
        let Some(chosen) = next(self.client, &mut self.from_client).await? else {
            return Ok(SignedIn::No);
        };
        let (mechanism, client_first) = chosen_mechanism(&chosen)
            .ok_or(ScramError::Malformed)
            .map_err(malformed)?;
        if mechanism != BOUND {
            let mut packet = BytesMut::new();
            chosen.put(&mut packet);
            self.backend.write_all(&packet).await?;
            self.backend.flush().await?;
            return Ok(SignedIn::Yes);
        }
        let server = scram::Server::begin(
            client_first,
            binding.certificate,
            binding.password,
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
            return Ok(SignedIn::No);
        };
        match server.finish(text(&last.body)?) {
            Ok(signature) => {
                send(
                    self.client,
                    AUTHENTICATION,
                    &[&SASL_FINAL, signature.as_bytes()],
                )
                .await?;
            }
            Err(ScramError::WrongPassword) => return Ok(SignedIn::WrongPassword),
            Err(error) => return Err(malformed(error)),
        }
        self.authenticate_to_backend(binding).await
    }

    /// Signs in to PostgreSQL with the password that the client proved to know.
    async fn authenticate_to_backend(&mut self, binding: &Binding<'_>) -> io::Result<SignedIn> {
        let own = scram::Client::begin();
        let first = own.first();
        let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mechanism = format!("{UNBOUND}\0");
        let initial: [&[u8]; 3] = [mechanism.as_bytes(), &length, first.as_bytes()];
        send(self.backend, SASL_RESPONSE, &initial).await?;
        let Some(answer) = next(self.backend, &mut self.from_backend).await? else {
            return Ok(SignedIn::No);
        };
        let server_first = answer
            .body
            .strip_prefix(&SASL_CONTINUE)
            .ok_or(ScramError::Malformed)
            .map_err(malformed)?;
        let last = own
            .finish(text(server_first)?, binding.password, binding.passwords)
            .map_err(malformed)?;
        send(self.backend, SASL_RESPONSE, &[last.as_bytes()]).await?;
        match next(self.backend, &mut self.from_backend).await? {
            Some(answer) if answer.kind == AUTHENTICATION => Ok(SignedIn::Yes),
            // The password was changed a moment ago: what the client proved is not true any more.
            Some(_) => Ok(SignedIn::WrongPassword),
            None => Ok(SignedIn::No),
        }
    }

    /// Passes messages on until PostgreSQL is ready for statements. Whether it was.
    async fn pass_until_ready(mut self, names: &[(String, String)]) -> io::Result<bool> {
        let mut to_client = BytesMut::with_capacity(BUFFER_BYTES);
        loop {
            let mut ready = false;
            while !ready && let Some(message) = Message::take(&mut self.from_backend)? {
                ready = message.kind == READY_FOR_QUERY;
                message.with_names(names).put(&mut to_client);
            }
            if ready {
                to_client.extend_from_slice(&self.from_backend);
            }
            if !to_client.is_empty() {
                self.client.write_all(&to_client).await?;
                self.client.flush().await?;
                to_client.clear();
            }
            if !self.from_client.is_empty() {
                self.backend.write_all(&self.from_client).await?;
                self.backend.flush().await?;
                self.from_client.clear();
            }
            if ready {
                return Ok(true);
            }
            tokio::select! {
                read = self.client.read_buf(&mut self.from_client) => {
                    if read? == 0 {
                        return Ok(false);
                    }
                }
                read = self.backend.read_buf(&mut self.from_backend) => {
                    if read? == 0 {
                        // What it said last may be half a message, which is all there is.
                        self.client.write_all(&self.from_backend).await?;
                        self.client.flush().await?;
                        return Ok(false);
                    }
                }
            }
        }
    }
}

/// The mechanism that a client chose, and its first message.
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

/// Who is told what goes over a connection.
pub(super) struct Watched {
    pub(super) activity: Arc<Activity>,
    pub(super) clock: Clock,
}

/// Whether bytes for the client end with PostgreSQL's word that it waits for the next statement, outside a transaction.
fn ends_idle(bytes: &[u8]) -> bool {
    bytes.ends_with(&[READY_FOR_QUERY, 0, 0, 0, 5, b'I'])
}

/// Passes everything on until one side ends.
pub(super) async fn relay(
    client: &mut impl Stream,
    backend: &mut impl Stream,
    watched: &Watched,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = io::split(client);
    let (mut from_backend, mut to_backend) = io::split(backend);
    let upwards = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return to_backend.shutdown().await;
            }
            watched.activity.client_sent(watched.clock.now());
            to_backend.write_all(&buffer[..read]).await?;
            to_backend.flush().await?;
        }
    };
    let downwards = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = from_backend.read(&mut buffer).await?;
            if read == 0 {
                return to_client.shutdown().await;
            }
            let bytes = &buffer[..read];
            watched
                .activity
                .server_sent(read, ends_idle(bytes), watched.clock.now());
            to_client.write_all(bytes).await?;
            to_client.flush().await?;
        }
    };
    tokio::try_join!(upwards, downwards).map(|_| ())
}

/// Passes everything on until the client has sent so many messages; the next one is the end of the connection.
pub(super) async fn relay_counted(
    client: &mut impl Stream,
    backend: &mut impl Stream,
    mut messages_left: u64,
) -> io::Result<()> {
    let mut from_client = BytesMut::with_capacity(BUFFER_BYTES);
    let mut from_backend = BytesMut::with_capacity(BUFFER_BYTES);
    let mut to_backend = BytesMut::with_capacity(BUFFER_BYTES);
    loop {
        tokio::select! {
            read = client.read_buf(&mut from_client) => {
                if read? == 0 {
                    return Ok(());
                }
                let mut over = false;
                while !over && let Some(message) = Message::take_limited(&mut from_client, COUNTED_MESSAGE_BYTES_MAX)? {
                    if messages_left == 0 {
                        over = true;
                    } else {
                        messages_left -= 1;
                        message.put(&mut to_backend);
                    }
                }
                backend.write_all(&to_backend).await?;
                to_backend.clear();
                if over {
                    return Ok(());
                }
            }
            read = backend.read_buf(&mut from_backend) => {
                if read? == 0 {
                    return Ok(());
                }
                client.write_all(&from_backend).await?;
                client.flush().await?;
                from_backend.clear();
            }
        }
    }
}
