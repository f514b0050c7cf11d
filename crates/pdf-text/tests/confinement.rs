//! What the child cannot do: this program runs itself again, confines itself as the child does, and tries.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
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

/// What is tried, and how it has to end: refused (exit code 1), allowed (0), or by a signal.
const PROBES: &[(&str, End)] = &[
    ("open_a_file", End::Code(1)),
    ("list_a_folder", End::Code(1)),
    ("write_a_file", End::Code(1)),
    ("look_at_a_file", End::Signal(SIGSYS)),
    ("remove_a_file", End::Signal(SIGSYS)),
    ("open_a_tcp_socket", End::Signal(SIGSYS)),
    ("open_a_udp_socket", End::Signal(SIGSYS)),
    ("open_a_unix_socket", End::Signal(SIGSYS)),
    ("start_a_program", End::Signal(SIGSYS)),
    ("start_a_thread", End::Signal(SIGSYS)),
    ("take_all_memory", End::Signal(SIGABRT)),
    ("take_all_time", End::Signal(SIGXCPU)),
    ("do_its_work", End::Code(0)),
    ("panic_and_catch_it", End::Code(0)),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Code(i32),
    Signal(i32),
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(PROBE) {
        let name = arguments.next().expect("which probe");
        child::confine(&Limits {
            memory_bytes_max: 512 * 1024 * 1024,
            cpu_seconds_max: 1,
            ..Limits::default()
        })
        .expect("it can be confined");
        return ExitCode::from(u8::from(!probe(&name)));
    }
    let trials = PROBES
        .iter()
        .map(|&(name, end)| {
            let allowed = if end == End::Code(0) { "can" } else { "cannot" };
            Trial::test(format!("a_confined_child_{allowed}_{name}"), move || {
                let status = run(name);
                let ended = status
                    .signal()
                    .map(End::Signal)
                    .or(status.code().map(End::Code));
                if ended == Some(end) {
                    Ok(())
                } else {
                    Err(Failed::from(format!(
                        "it ended with {status}, not with {end:?}"
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
        // As the extractor starts its child: a panic that is told to print where it came from would look for files.
        .env_clear()
        .stderr(Stdio::null())
        .status()
        .expect("this program can be run again")
}

/// Tries it; whether it went well.
fn probe(name: &str) -> bool {
    match name {
        "open_a_file" => std::fs::File::open("/proc/self/status").is_ok(),
        "list_a_folder" => std::fs::read_dir("/").is_ok(),
        "write_a_file" => std::fs::write("/tmp/confined-child-was-here", "x").is_ok(),
        "look_at_a_file" => std::fs::metadata("/etc/passwd").is_ok(),
        "remove_a_file" => std::fs::remove_file("/tmp/confined-child-was-here").is_ok(),
        "open_a_tcp_socket" => std::net::TcpStream::connect("127.0.0.1:1").is_ok(),
        "open_a_udp_socket" => std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
        "open_a_unix_socket" => std::os::unix::net::UnixStream::pair().is_ok(),
        "start_a_program" => Command::new("/bin/true").status().is_ok(),
        "start_a_thread" => std::thread::Builder::new().spawn(|| ()).is_ok(),
        "take_all_memory" => black_box(vec![1_u8; 2 * 1024 * 1024 * 1024]).len() > 1,
        "take_all_time" => loop {
            black_box(());
        },
        "do_its_work" => {
            let blocks: Vec<Vec<u8>> = (0..64).map(|size| vec![1; size * 64 * 1024]).collect();
            let map: HashMap<usize, usize> = blocks.iter().map(|block| (block.len(), 1)).collect();
            drop(blocks);
            print_nothing();
            map.len() == 64
        }
        "panic_and_catch_it" => {
            std::panic::catch_unwind(|| black_box(None::<u8>).expect("a panic")).is_err()
        }
        _ => false,
    }
}

/// Standard output still works.
fn print_nothing() {
    use std::io::Write as _;
    std::io::stdout()
        .write_all(b"")
        .expect("standard output is open");
    std::io::stdout().flush().expect("standard output is open");
}
