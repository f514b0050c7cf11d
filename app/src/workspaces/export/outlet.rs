//! The way from whoever writes an archive to the response that carries it.
//!
//! A few blocks at most are between the two: a slow reader slows the writer down. What was not closed on purpose ends in an error, so that a
//! cut-off archive never looks complete.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// Bytes that are handed over at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// Blocks that may wait for the reader.
const BLOCKS_MAX: usize = 4;

enum Piece {
    Block(Bytes),
    End,
}

/// Where the archive is written to.
pub(super) struct Outlet {
    sender: PollSender<Piece>,
    block: BytesMut,
}

/// An outlet, and what comes out of it. Dropping the stream makes writing fail.
pub(super) fn outlet() -> (Outlet, impl Stream<Item = io::Result<Bytes>> + Send + use<>) {
    let (sender, receiver) = mpsc::channel(BLOCKS_MAX);
    let outlet = Outlet {
        sender: PollSender::new(sender),
        block: BytesMut::with_capacity(BLOCK_BYTES),
    };
    let pieces = stream::unfold(Some(receiver), |receiver| async move {
        let mut receiver: mpsc::Receiver<Piece> = receiver?;
        match receiver.recv().await {
            Some(Piece::Block(block)) => Some((Ok(block), Some(receiver))),
            Some(Piece::End) => None,
            None => {
                let error = io::Error::other("the archive could not be finished");
                Some((Err(error), None))
            }
        }
    });
    (outlet, pieces)
}

impl Outlet {
    /// Says that this was all. Without it, the reader learns that something is missing.
    pub(super) async fn finish(mut self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_hand_over(context)).await?;
        std::future::poll_fn(|context| self.poll_send(context, Piece::End)).await
    }

    fn poll_hand_over(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.block.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.sender.poll_reserve(context)).map_err(|_| gone())?;
        let block = self.block.split().freeze();
        self.block.reserve(BLOCK_BYTES);
        Poll::Ready(
            self.sender
                .send_item(Piece::Block(block))
                .map_err(|_| gone()),
        )
    }

    fn poll_send(&mut self, context: &mut Context<'_>, piece: Piece) -> Poll<io::Result<()>> {
        ready!(self.sender.poll_reserve(context)).map_err(|_| gone())?;
        Poll::Ready(self.sender.send_item(piece).map_err(|_| gone()))
    }
}

fn gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "nobody reads the archive any more",
    )
}

impl AsyncWrite for Outlet {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.block.len() >= BLOCK_BYTES {
            ready!(self.poll_hand_over(context))?;
        }
        let count = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Blocks are handed over when they are full: a zip has nobody who waits for half of one.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt as _;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn what_was_finished_arrives_whole() {
        let (mut outlet, pieces) = outlet();
        let sent: Vec<u8> = (0..BLOCK_BYTES * 3 + 7)
            .map(|at| u8::try_from(at % 251).expect("small"))
            .collect();
        let written = sent.clone();
        let writing = tokio::spawn(async move {
            outlet.write_all(&written).await.expect("writes");
            outlet.finish().await.expect("finishes");
        });
        let blocks: Vec<Bytes> = pieces.try_collect().await.expect("no error");
        writing.await.expect("no panic");
        assert_eq!(blocks.concat(), sent);
    }

    #[tokio::test]
    async fn what_was_cut_off_ends_in_an_error() {
        let (mut outlet, pieces) = outlet();
        outlet.write_all(b"half of it").await.expect("writes");
        drop(outlet);
        let read: io::Result<Vec<Bytes>> = pieces.try_collect().await;
        assert!(read.is_err(), "{read:?}");
    }

    #[tokio::test]
    async fn a_writer_whose_reader_left_is_told() {
        let (mut outlet, pieces) = outlet();
        drop(pieces);
        let error = outlet
            .write_all(&vec![0; BLOCK_BYTES * 2])
            .await
            .expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
