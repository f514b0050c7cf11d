//! Bounded channel from the task that writes an archive to the response body.
//!
//! Only a few blocks are buffered, so a slow client slows the writer down. If the sender is dropped
//! without [`BlockSender::finish`], the stream ends with an error, so a truncated archive never
//! looks complete.

use std::io;

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::sync::mpsc;

/// Maximum number of blocks waiting for the client.
const MAX_QUEUED_BLOCKS: usize = 4;

enum Message {
    Block(Bytes),
    End,
}

pub(super) struct BlockSender(mpsc::Sender<Message>);

/// Creates a channel. Dropping the stream makes sending fail.
pub(super) fn block_channel() -> (
    BlockSender,
    impl Stream<Item = io::Result<Bytes>> + Send + use<>,
) {
    let (sender, receiver) = mpsc::channel(MAX_QUEUED_BLOCKS);
    let blocks = stream::unfold(Some(receiver), |receiver| async move {
        let mut receiver: mpsc::Receiver<Message> = receiver?;
        match receiver.recv().await {
            Some(Message::Block(block)) => Some((Ok(block), Some(receiver))),
            Some(Message::End) => None,
            None => {
                let error = io::Error::other("the archive is incomplete");
                Some((Err(error), None))
            }
        }
    });
    (BlockSender(sender), blocks)
}

impl BlockSender {
    /// Sends a block, waiting until there is room for it.
    pub(super) async fn send(&self, block: Bytes) -> io::Result<()> {
        self.push(Message::Block(block)).await
    }

    /// Marks the archive as complete.
    pub(super) async fn finish(self) -> io::Result<()> {
        self.push(Message::End).await
    }

    async fn push(&self, block: Message) -> io::Result<()> {
        self.0.send(block).await.map_err(|_| {
            io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the client stopped reading the archive",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt as _, TryStreamExt as _};

    #[tokio::test]
    async fn a_finished_archive_arrives_completely() {
        let (sender, blocks) = block_channel();
        let writing = tokio::spawn(async move {
            for at in 0..20_u8 {
                sender.send(vec![at; 3].into()).await.expect("sends");
            }
            sender.finish().await.expect("finishes");
        });
        let blocks: Vec<Bytes> = blocks.try_collect().await.expect("no error");
        writing.await.expect("no panic");
        let sent: Vec<u8> = (0..20_u8).flat_map(|at| [at; 3]).collect();
        assert_eq!(blocks.concat(), sent);
    }

    #[tokio::test]
    async fn a_slow_reader_blocks_the_writer() {
        let (sender, _pieces) = block_channel();
        let block = Bytes::from_static(b"block");
        for _ in 0..MAX_QUEUED_BLOCKS {
            sender.send(block.clone()).await.expect("room");
        }
        assert!(sender.send(block).now_or_never().is_none(), "it waits");
    }

    #[tokio::test]
    async fn an_unfinished_archive_ends_in_an_error() {
        let (sender, blocks) = block_channel();
        sender.send("half".into()).await.expect("sends");
        drop(sender);
        let read: io::Result<Vec<Bytes>> = blocks.try_collect().await;
        assert!(read.is_err(), "{read:?}");
    }

    #[tokio::test]
    async fn sending_fails_after_the_reader_left() {
        let (sender, blocks) = block_channel();
        drop(blocks);
        let error = sender
            .send("a".into())
            .await
            .expect_err("the receiver was dropped");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
