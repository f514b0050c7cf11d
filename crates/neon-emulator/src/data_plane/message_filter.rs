//! Relays the messages from PostgreSQL, and replaces some.

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io;

use super::wire::{self, HEADER_BYTES};

/// The type of an error.
pub(super) const ERROR: u8 = b'E';
/// Maximum size of a message that is inspected, in bytes. Longer ones are relayed without inspection;
/// those to replace are never that long.
const MAX_INSPECTED_BYTES: usize = 16 * 1024;

/// The state between two reads.
#[derive(Debug, Default)]
pub(super) struct MessageFilter {
    /// Remaining bytes of a message that is relayed without inspection.
    passing_bytes: usize,
}

impl MessageFilter {
    /// Moves the available bytes from PostgreSQL to the client, except for an incomplete message that
    /// must be inspected. `inspect` gets the type and the body of each message of these types, and
    /// returns what replaces it.
    pub(super) fn take(
        &mut self,
        from_backend: &mut BytesMut,
        to_client: &mut BytesMut,
        inspected: &[u8],
        mut inspect: impl FnMut(u8, &[u8]) -> Option<Bytes>,
    ) -> io::Result<()> {
        loop {
            let passing = self.passing_bytes.min(from_backend.len());
            to_client.extend_from_slice(&from_backend[..passing]);
            from_backend.advance(passing);
            self.passing_bytes -= passing;
            if self.passing_bytes > 0 {
                return Ok(());
            }
            let Some((kind, length)) = wire::header(from_backend)? else {
                return Ok(());
            };
            if !inspected.contains(&kind) || length > MAX_INSPECTED_BYTES {
                self.passing_bytes = length;
                continue;
            }
            if from_backend.len() < length {
                return Ok(());
            }
            let message = from_backend.split_to(length);
            match inspect(kind, &message[HEADER_BYTES..]) {
                Some(replacement) => to_client.extend_from_slice(&replacement),
                None => to_client.extend_from_slice(&message),
            }
        }
    }
}
