//! What one document may cost. Every limit that a file can run into has its name and unit here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// What one document may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The file itself.
    pub input_bytes_max: u64,
    /// Pages of a document. The longest manual of the corpus has 2,415.
    pub pages_max: u32,
    /// Clean text of a document, in UTF-8. A full page has 2 to 3 KB.
    pub text_bytes_max: u64,
    /// Address space of the child process, in bytes: its program, its stack, the file, everything unpacked from it.
    pub memory_bytes_max: u64,
    /// CPU time of the child process, in seconds. What pages take stands in `docs/pdf-corpus.md`: well under a second for 1,000.
    pub cpu_seconds_max: u64,
    /// How long the child process may take from the last byte of the file to the last page.
    pub wall_time_max: Duration,
    /// How long handing over the file may take (it may come from far away).
    pub input_time_max: Duration,
    /// What the child process may answer, in bytes: a word costs about 40.
    pub output_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes_max: 64 * MIB,
            pages_max: 5_000,
            text_bytes_max: 16 * MIB,
            memory_bytes_max: 1024 * MIB,
            cpu_seconds_max: 30,
            wall_time_max: Duration::from_mins(2),
            input_time_max: Duration::from_mins(5),
            output_bytes_max: 256 * MIB,
        }
    }
}
