//! Tests of the sandbox: this program runs itself again, sandboxes itself like the child, and
//! attempts an operation.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use pdf_text::{Limits, child};

const SIGABRT: i32 = 6;
const SIGXCPU: i32 = 24;
const SIGSYS: i32 = 31;
const PROBE: &str = "probe";

/// Operations and how they have to end: with an error (exit code 1), with success (0), or by a
/// signal.
const PROBES: &[(&str, ProcessEnd)] = &[
    ("open_a_file", ProcessEnd::Code(1)),
    ("list_a_directory", ProcessEnd::Code(1)),
    ("write_a_file", ProcessEnd::Code(1)),
    ("stat_a_file", ProcessEnd::Signal(SIGSYS)),
    ("remove_a_file", ProcessEnd::Signal(SIGSYS)),
    ("open_a_tcp_socket", ProcessEnd::Signal(SIGSYS)),
    ("open_a_udp_socket", ProcessEnd::Signal(SIGSYS)),
    ("open_a_unix_socket", ProcessEnd::Signal(SIGSYS)),
    ("start_a_program", ProcessEnd::Signal(SIGSYS)),
    ("start_a_thread", ProcessEnd::Signal(SIGSYS)),
    ("exhaust_memory", ProcessEnd::Signal(SIGABRT)),
    ("exhaust_cpu_time", ProcessEnd::Signal(SIGXCPU)),
    ("allocate_and_write_output", ProcessEnd::Code(0)),
    ("panic_and_catch_it", ProcessEnd::Code(0)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProcessEnd {
    Code(i32),
    Signal(i32),
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(PROBE) {
        let name = arguments.next().expect("a probe name");
        child::confine(&Limits {
            max_memory_bytes: 512 * 1024 * 1024,
            max_cpu_seconds: 1,
            ..Limits::default()
        })
        .expect("the process can be confined");
        return ExitCode::from(u8::from(!probe(&name)));
    }
    let trials = PROBES
        .iter()
        .map(|&(name, end)| {
            let allowed = if end == ProcessEnd::Code(0) {
                "can"
            } else {
                "cannot"
            };
            Trial::test(format!("a_confined_child_{allowed}_{name}"), move || {
                let status = run(name);
                let ended = status
                    .signal()
                    .map(ProcessEnd::Signal)
                    .or(status.code().map(ProcessEnd::Code));
                if ended == Some(end) {
                    Ok(())
                } else {
                    Err(Failed::from(format!(
                        "ended with {status}, expected {end:?}"
                    )))
                }
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(name: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args([PROBE, name])
        // Like the extractor. With a backtrace variable set, a panic would try to open files.
        .env_clear()
        .stderr(Stdio::null())
        .status()
        .expect("the program starts")
}

/// Attempts the operation and returns whether it succeeded.
fn probe(name: &str) -> bool {
    match name {
        "open_a_file" => std::fs::File::open("/proc/self/status").is_ok(),
        "list_a_directory" => std::fs::read_dir("/").is_ok(),
        "write_a_file" => std::fs::write("/tmp/confined-child-was-here", "x").is_ok(),
        "stat_a_file" => std::fs::metadata("/etc/passwd").is_ok(),
        "remove_a_file" => std::fs::remove_file("/tmp/confined-child-was-here").is_ok(),
        "open_a_tcp_socket" => std::net::TcpStream::connect("127.0.0.1:1").is_ok(),
        "open_a_udp_socket" => std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
        "open_a_unix_socket" => std::os::unix::net::UnixStream::pair().is_ok(),
        "start_a_program" => Command::new("/bin/true").status().is_ok(),
        "start_a_thread" => std::thread::Builder::new().spawn(|| ()).is_ok(),
        "exhaust_memory" => black_box(vec![1_u8; 2 * 1024 * 1024 * 1024]).len() > 1,
        "exhaust_cpu_time" => loop {
            black_box(());
        },
        "allocate_and_write_output" => {
            let blocks: Vec<Vec<u8>> = (0..64).map(|size| vec![1; size * 64 * 1024]).collect();
            let map: HashMap<usize, usize> = blocks.iter().map(|block| (block.len(), 1)).collect();
            drop(blocks);
            flush_standard_output();
            map.len() == 64
        }
        "panic_and_catch_it" => {
            std::panic::catch_unwind(|| black_box(None::<u8>).expect("a panic")).is_err()
        }
        _ => false,
    }
}

/// Checks that standard output still works.
fn flush_standard_output() {
    use std::io::Write as _;
    std::io::stdout()
        .write_all(b"")
        .expect("standard output is open");
    std::io::stdout().flush().expect("standard output is open");
}
