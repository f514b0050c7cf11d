//! Redis, for rate limits that replicas count together: a fresh one, or the developer's own (`REDIS_URL`).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use local_servers::process::{StopSignal, Supervised, Supervision};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::control_plane::free_port;
use crate::install::{self, variable};

/// The variable that names a Redis of the developer's own.
pub const REDIS_URL: &str = "REDIS_URL";
/// From start to the first answer; some milliseconds when nothing is wrong.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// How often it is asked.
const READY_POLL: Duration = Duration::from_millis(20);
/// How long it may take to end.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// How much of its log an error quotes.
const LOG_TAIL_LINES: usize = 20;

/// A running Redis. Dropping it stops it, if it is ours.
#[derive(Debug)]
pub struct Redis {
    url: String,
    process: Option<Supervised>,
}

impl Redis {
    /// The server of `REDIS_URL`; else a fresh one that keeps nothing on the disk, installed if need be.
    pub async fn start(folder: &Path) -> Result<Self> {
        if let Some(url) = variable(REDIS_URL) {
            let url = url
                .into_string()
                .map_err(|_| anyhow!("{REDIS_URL} is not UTF-8"))?;
            return Ok(Self { url, process: None });
        }
        let program = tokio::task::spawn_blocking(install::redis_server).await??;
        let port = free_port()?;
        let mut command = Command::new(program);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .current_dir(folder);
        let how = Supervision {
            stop_signal: StopSignal::Terminate,
            grace: STOP_GRACE,
            run_as: None,
        };
        let mut process = Supervised::spawn_with(&command, &folder.join("redis.log"), how)?;
        let started = Instant::now();
        while !answers(port).await {
            if process.exited()?.is_some() || started.elapsed() > READY_LIMIT {
                bail!(
                    "Redis does not serve:\n{}",
                    process.log_tail(LOG_TAIL_LINES)
                );
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(Self {
            url: format!("redis://127.0.0.1:{port}"),
            process: Some(process),
        })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it, if it is ours.
    pub async fn stop(self) {
        if let Some(process) = self.process {
            process.stop().await;
        }
    }
}

async fn answers(port: u16) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"+PONG")
    };
    asked.await.unwrap_or(false)
}
