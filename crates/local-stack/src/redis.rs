//! Redis, in which replicas share rate limits: a new server, or the developer's own (`REDIS_URL`).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use installer::environment_variable;
use installer::external::REDIS_URL;
use local_servers::process::{StopSignal, Supervised, Supervision};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::control_plane::free_port;

/// From the start to the first response, which normally takes milliseconds.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
const READY_POLL_INTERVAL: Duration = Duration::from_millis(20);
const STOP_GRACE: Duration = Duration::from_secs(3);
/// How many lines of the log an error quotes.
const LOG_TAIL_LINES: usize = 20;

/// A running Redis. Dropping it stops a server that [`Redis::start`] started.
#[derive(Debug)]
pub struct Redis {
    url: String,
    process: Option<Supervised>,
}

impl Redis {
    /// Uses the server of `REDIS_URL`, or starts a new one that does not write to disk.
    pub async fn start(folder: &Path) -> Result<Self> {
        if let Some(url) = environment_variable(REDIS_URL) {
            let url = url
                .into_string()
                .map_err(|_| anyhow!("{REDIS_URL} is not UTF-8"))?;
            return Ok(Self { url, process: None });
        }
        let program = tokio::task::spawn_blocking(installer::redis_server).await??;
        let port = free_port()?;
        let mut command = Command::new(program);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .current_dir(folder);
        let supervision = Supervision {
            stop_signal: StopSignal::Terminate,
            grace: STOP_GRACE,
            run_as: None,
        };
        let log = folder.join("redis.log");
        let mut process = Supervised::spawn_with(&command, &log, supervision)?;
        let started = Instant::now();
        while !responds(port).await {
            if process.exited()?.is_some() || started.elapsed() > READY_TIMEOUT {
                bail!("Redis did not start:\n{}", process.log_tail(LOG_TAIL_LINES));
            }
            tokio::time::sleep(READY_POLL_INTERVAL).await;
        }
        Ok(Self {
            url: format!("redis://127.0.0.1:{port}"),
            process: Some(process),
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server, unless it is the developer's own.
    pub async fn stop(self) {
        if let Some(process) = self.process {
            process.stop().await;
        }
    }
}

async fn responds(port: u16) -> bool {
    let ping = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut response = [0; 5];
        stream.read_exact(&mut response).await?;
        std::io::Result::Ok(&response == b"+PONG")
    };
    ping.await.unwrap_or(false)
}
