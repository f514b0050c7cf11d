//! Resource limits for one document. Each has a name and a unit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Size of the file, in bytes.
    pub max_input_bytes: u64,
    /// Number of pages. The longest manual in the corpus has 2,415.
    pub max_pages: u32,
    /// Size of the text in UTF-8, in bytes. A full page has 2 to 3 KB.
    pub max_text_bytes: u64,
    /// Size of the text of one page, in bytes.
    pub max_page_text_bytes: u64,
    /// Number of words. With `max_text_bytes` of ordinary text, there are 2.8 million.
    pub max_words: u32,
    /// Number of words of one page. A page of a large table has some thousands.
    pub max_page_words: u32,
    /// Address space of the child process, in bytes: program, stack, file and everything
    /// decompressed from it.
    pub max_memory_bytes: u64,
    /// CPU time of the child process, in seconds. `docs/pdf-corpus.md` has measurements: well under
    /// a second for 1,000 pages.
    pub max_cpu_seconds: u64,
    /// Maximum time from the last byte of the file to the last page.
    pub wall_timeout: Duration,
    /// Maximum time to send the file to the child. The file may come from a slow source.
    pub input_timeout: Duration,
    /// Size of the child's output, in bytes. A word needs about 40 bytes.
    pub max_output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_input_bytes: 64 * MIB,
            max_pages: 5_000,
            max_text_bytes: 16 * MIB,
            max_page_text_bytes: MIB,
            max_words: 3_000_000,
            max_page_words: 100_000,
            max_memory_bytes: 1024 * MIB,
            max_cpu_seconds: 30,
            wall_timeout: Duration::from_mins(2),
            input_timeout: Duration::from_mins(5),
            max_output_bytes: 256 * MIB,
        }
    }
}
