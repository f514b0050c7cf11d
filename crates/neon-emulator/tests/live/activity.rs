//! What listings show while a compute falls asleep and wakes.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::connections::connect;
use crate::facts::Fact;
use crate::life::Service;

/// Time between two listings.
const INTERVAL: Duration = Duration::from_secs(30);
/// Listings without a connection: for eight minutes, because a compute is suspended after five.
const WITHOUT_CONNECTION: usize = 16;
/// Listings after the next connection.
const AFTER_CONNECTION: usize = 3;
const IDLE: &str = "idle";
/// What a listing shows about a project's activity.
const FIELDS: [&str; 4] = [
    "updated_at",
    "compute_last_active_at",
    "active_time",
    "cpu_used_sec",
];

impl Service {
    /// Lists the project every 30 s. `pause` waits until the next listing.
    pub(crate) async fn activity(
        &self,
        path: &str,
        uri: &str,
        pause: &impl AsyncFn(Duration) -> Result<()>,
    ) -> Result<Vec<Fact>> {
        let asleep = self.samples(path, WITHOUT_CONNECTION, pause).await?;
        let woken = connect("A connection to an idle compute", uri, Instant::now()).await?;
        let awake = self.samples(path, AFTER_CONNECTION, pause).await?;
        let idle_from = asleep.iter().position(|sample| sample["state"] == IDLE);
        let stays_idle = idle_from.is_some_and(|from| {
            let mut idle = asleep[from..].iter();
            idle.all(|sample| sample["state"] == IDLE)
        });
        let after = idle_from.map(|samples| INTERVAL * u32::try_from(samples).unwrap_or(u32::MAX));
        let moved = |before: Option<&Value>, after: Option<&Value>| {
            let times = |sample: Option<&Value>| {
                sample.map(|sample| {
                    [&sample["updated_at"], &sample["compute_last_active_at"]].map(Value::clone)
                })
            };
            times(before) != times(after)
        };
        let (sleeps, wakes) = (
            moved(asleep.first(), asleep.last()),
            moved(asleep.last(), awake.last()),
        );
        let verdict = |moved| if moved { "moved" } else { "did not move" }.to_owned();
        Ok(vec![
            Fact {
                name: "A compute without connections",
                expected: "is idle within 8 minutes",
                observed: format!("idle after {after:?}"),
                as_expected: after.is_some(),
                body: Value::Null,
            },
            Fact {
                name: "An idle compute whose project is listed every 30 s",
                expected: "stays idle",
                observed: format!("stays idle: {stays_idle}"),
                as_expected: stays_idle,
                body: Value::Null,
            },
            Fact {
                name: "The times of a listed project while its compute falls asleep",
                expected: "have moved",
                observed: verdict(sleeps),
                as_expected: sleeps,
                body: Value::from(asleep),
            },
            woken,
            Fact {
                name: "The times of a listed project after its compute woke",
                expected: "have moved",
                observed: verdict(wakes),
                as_expected: wakes,
                body: Value::from(awake),
            },
        ])
    }

    async fn samples(
        &self,
        path: &str,
        count: usize,
        pause: &impl AsyncFn(Duration) -> Result<()>,
    ) -> Result<Vec<Value>> {
        let list = format!("/projects?search={}", path.trim_start_matches("/projects/"));
        let mut samples = Vec::new();
        for _ in 0..count {
            let (_, listed) = self.unlocked(Method::GET, &list, None).await?;
            let path = format!("{path}/endpoints");
            let (_, endpoints) = self.unlocked(Method::GET, &path, None).await?;
            let mut sample = json!({"state": endpoints["endpoints"][0]["current_state"]});
            for field in FIELDS {
                sample[field] = listed["projects"][0][field].clone();
            }
            samples.push(sample);
            pause(INTERVAL).await?;
        }
        Ok(samples)
    }
}
