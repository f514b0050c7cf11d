//! The way from whoever writes an archive to the response that carries it.
//!
//! A few blocks at most are between the two: a slow reader slows the writer down. What was not closed on purpose ends in an error, so that a
//! cut-off archive never looks complete.

use std::io;

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::sync::mpsc;

/// Blocks that may wait for the reader.
const BLOCKS_MAX: usize = 4;

enum Piece {
    Block(Bytes),
    End,
}

/// Where the archive goes.
pub(super) struct Outlet(mpsc::Sender<Piece>);

/// An outlet, and what comes out of it. Dropping the stream makes writing fail.
pub(super) fn outlet() -> (Outlet, impl Stream<Item = io::Result<Bytes>> + Send + use<>) {
    let (sender, receiver) = mpsc::channel(BLOCKS_MAX);
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
    (Outlet(sender), pieces)
}

impl Outlet {
    /// Hands a block over, once there is room for it.
    pub(super) async fn send(&self, block: Bytes) -> io::Result<()> {
        self.hand_over(Piece::Block(block)).await
    }

    /// Says that this was all. Without it, the reader learns that something is missing.
    pub(super) async fn finish(self) -> io::Result<()> {
        self.hand_over(Piece::End).await
    }

    async fn hand_over(&self, piece: Piece) -> io::Result<()> {
        self.0.send(piece).await.map_err(|_| {
            io::Error::new(
                io::ErrorKind::BrokenPipe,
                "nobody reads the archive any more",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt as _, TryStreamExt as _};

    #[tokio::test]
    async fn what_was_finished_arrives_whole() {
        let (outlet, pieces) = outlet();
        let writing = tokio::spawn(async move {
            for at in 0..20_u8 {
                outlet.send(vec![at; 3].into()).await.expect("sends");
            }
            outlet.finish().await.expect("finishes");
        });
        let blocks: Vec<Bytes> = pieces.try_collect().await.expect("no error");
        writing.await.expect("no panic");
        let sent: Vec<u8> = (0..20_u8).flat_map(|at| [at; 3]).collect();
        assert_eq!(blocks.concat(), sent);
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_the_writer_up() {
        let (outlet, _pieces) = outlet();
        let block = Bytes::from_static(b"block");
        for _ in 0..BLOCKS_MAX {
            outlet.send(block.clone()).await.expect("room");
        }
        assert!(outlet.send(block).now_or_never().is_none(), "it waits");
    }

    #[tokio::test]
    async fn what_was_cut_off_ends_in_an_error() {
        let (outlet, pieces) = outlet();
        outlet.send("half of it".into()).await.expect("sends");
        drop(outlet);
        let read: io::Result<Vec<Bytes>> = pieces.try_collect().await;
        assert!(read.is_err(), "{read:?}");
    }

    #[tokio::test]
    async fn a_writer_whose_reader_left_is_told() {
        let (outlet, pieces) = outlet();
        drop(pieces);
        let error = outlet.send("a".into()).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
