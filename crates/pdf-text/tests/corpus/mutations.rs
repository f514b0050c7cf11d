//! Reads files with random errors. The child must end each with a result or an expected error: never
//! with a forbidden system call, a panic or an invalid message.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pdf_extract::Document;
use pdf_text::{DocumentError, ExtractError, Extractor, ExtractorConfig, Limits};

use crate::random::Random;

/// Maximum size of a file that is changed, in bytes. Larger files would mostly repeat their objects.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// Maximum number of changes of a file.
const MAX_CHANGES: u64 = 8;
/// Maximum length of a part that is moved, removed or repeated, in bytes.
const MAX_PART_BYTES: u64 = 4_096;
/// Numbers and names that are valid in many places, but unexpected.
const TOKENS: [&[u8]; 14] = [
    b"0",
    b"-1",
    b"2147483647",
    b"-2147483648",
    b"4294967296",
    b"99999999999999999999",
    b"1e38",
    b"null",
    b"<<>>",
    b"[]",
    b"/Type0",
    b"1 0 R",
    b"BT",
    b"endstream",
];

/// Returns the files of `tests/cases`, and their copies without compression.
pub(crate) fn cases() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder exists")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pdf"))
        .collect();
    paths.sort();
    seeds(&paths)
}

/// Returns the contents of the files, and their copies without compression: an error in compressed
/// data rarely gets beyond decompression.
pub(crate) fn seeds(paths: &[PathBuf]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut seeds = Vec::new();
    for path in paths {
        let file = std::fs::read(path).expect("the file exists");
        if file.len() > MAX_BYTES {
            continue;
        }
        let mut plain = Vec::new();
        if let Ok(mut document) = Document::load_mem(&file) {
            document.decompress();
            if document.save_to(&mut plain).is_ok() && plain.len() <= MAX_BYTES {
                seeds.push((path.clone(), plain));
            }
        }
        seeds.push((path.clone(), file));
    }
    seeds
}

fn mutate(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut file = file.to_vec();
    for _ in 0..=random.bits() % MAX_CHANGES {
        let at = random.below(file.len());
        let length = usize::try_from(random.bits() % MAX_PART_BYTES).unwrap_or(0);
        let end = (at + length).min(file.len());
        match random.bits() % 7 {
            0 => file.truncate(at),
            1 => {
                file.drain(at..end);
            }
            2 => {
                let part = file[at..end].to_vec();
                let to = random.below(file.len());
                file.splice(to..to, part);
            }
            3 => {
                let token = TOKENS[random.below(TOKENS.len())];
                file.splice(at..at, token.iter().copied());
            }
            // Replaces a number.
            4 => {
                let start = file[at..]
                    .iter()
                    .position(u8::is_ascii_digit)
                    .map(|to| at + to);
                if let Some(start) = start {
                    let digits = file[start..]
                        .iter()
                        .take_while(|byte| byte.is_ascii_digit());
                    let end = start + digits.count();
                    let token = TOKENS[random.below(TOKENS.len())];
                    file.splice(start..end, token.iter().copied());
                }
            }
            _ => {
                for byte in file.iter_mut().skip(at).take(1 + length % 4) {
                    *byte = random.bits().to_le_bytes()[0];
                }
            }
        }
    }
    file
}

/// Reads changed files until there have been `count`, or until the time is over. Returns what went
/// wrong, with the seed that repeats it, and the number of files.
pub(crate) async fn read_changed_files(
    seeds: &[(PathBuf, Vec<u8>)],
    count: u64,
    time: Duration,
) -> (Vec<String>, u64) {
    let limits = Limits {
        max_memory_bytes: 512 * 1024 * 1024,
        max_cpu_seconds: 5,
        wall_timeout: Duration::from_mins(1),
        ..Limits::default()
    };
    let extractor = Extractor::new(ExtractorConfig {
        program: env!("CARGO_BIN_EXE_pdf-text").into(),
        args: vec!["extract".into()],
        limits,
    });
    let start = Instant::now();
    let mut unexpected = Vec::new();
    let mut read = 0;
    for seed in 0..count {
        if start.elapsed() >= time {
            break;
        }
        let mut random = Random::new(seed);
        let (path, file) = &seeds[random.below(seeds.len())];
        let changed = mutate(file, &mut random);
        let result = extractor.extract(changed.as_slice(), |_| ()).await;
        read += 1;
        let problem = match result {
            Err(ExtractError::Document(DocumentError::Internal)) => "an internal error".to_owned(),
            Ok(_) | Err(ExtractError::Document(_)) => continue,
            Err(error) => format!("{error:?}"),
        };
        unexpected.push(format!("seed {seed} of {}: {problem}", path.display()));
    }
    (unexpected, read)
}
