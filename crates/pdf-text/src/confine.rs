//! Sandbox of the child: it restricts memory, CPU time, files, programs and the network. It cannot
//! be undone.
//!
//! There are three layers. Resource limits bound the process. Landlock blocks all files and ports,
//! and signals to other processes, as far as the kernel supports it. Seccomp allows only the system calls needed by an allocator, two
//! pipes and an exiting thread. Any other system call kills the process, except opening a file,
//! which fails with an error: the C library's allocator occasionally reads a file in `/proc` and
//! works without it.

use std::io;

use rlimit::Resource;
use serde::{Deserialize, Serialize};

use crate::limits::Limits;

/// Degree of confinement that the kernel supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confinement {
    /// The kernel blocks access to files, programs, the network and other processes.
    Full,
    /// Like [`Self::Full`], but the kernel supports only a part of the Landlock rules. The filter of
    /// system calls blocks the rest.
    PartialLandlock,
    /// System calls are filtered and resources are limited. The kernel does not support Landlock.
    WithoutLandlock,
    LimitsOnly,
}

/// Standard input, output and error. No other file can be opened.
const MAX_OPEN_FILES: u64 = 3;

/// Sandboxes this process with all of its threads, irreversibly. The calling thread must be the one
/// that continues.
pub fn confine(limits: &Limits) -> io::Result<Confinement> {
    Resource::CORE.set(0, 0)?; // a core dump would contain the document
    Resource::FSIZE.set(0, 0)?;
    Resource::CPU.set(limits.max_cpu_seconds, limits.max_cpu_seconds + 1)?;
    address_space(limits.max_memory_bytes)?;
    let confinement = kernel::confine()?;
    Ok(confinement)
}

#[cfg(target_os = "linux")]
fn address_space(max_bytes: u64) -> io::Result<()> {
    Resource::AS.set(max_bytes, max_bytes)
}

/// Other systems map more memory into each process than a document may use.
#[cfg(not(target_os = "linux"))]
fn address_space(_: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod kernel {
    use super::{Confinement, MAX_OPEN_FILES, Resource, io};

    pub(super) fn confine() -> io::Result<Confinement> {
        Resource::NOFILE.set(MAX_OPEN_FILES, MAX_OPEN_FILES)?;
        Ok(Confinement::LimitsOnly)
    }
}

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod kernel {
    use std::collections::BTreeMap;

    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope,
    };
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch, apply_filter_all_threads,
    };

    use super::{Confinement, MAX_OPEN_FILES, Resource, io};

    /// The newest Landlock ABI that is requested. Older kernels apply the rules that they support.
    const LANDLOCK: ABI = ABI::V6;

    const ALLOWED: &[i64] = &[
        // The two pipes.
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        // Memory management.
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
        // Locks, and joining the thread from the main thread.
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_restart_syscall,
        // Seeds of hash maps, and clocks that need a system call.
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        // The allocator determines the number of processors.
        libc::SYS_sched_getaffinity,
        // Exit, normally or by `abort()`.
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
    ];

    /// System calls that fail with an error instead of killing the process; see the module
    /// documentation.
    #[cfg(target_arch = "x86_64")]
    const DENIED: &[i64] = &[libc::SYS_open, libc::SYS_openat];
    #[cfg(target_arch = "aarch64")]
    const DENIED: &[i64] = &[libc::SYS_openat];

    pub(super) fn confine() -> io::Result<Confinement> {
        let landlock = landlock()?;
        Resource::NOFILE.set(MAX_OPEN_FILES, MAX_OPEN_FILES)?; // after Landlock, which needs one more file
        Resource::NPROC.set(0, 0)?;
        seccomp()?;
        Ok(level(&landlock))
    }

    fn level(landlock: &RulesetStatus) -> Confinement {
        match landlock {
            RulesetStatus::FullyEnforced => Confinement::Full,
            RulesetStatus::PartiallyEnforced => Confinement::PartialLandlock,
            RulesetStatus::NotEnforced => Confinement::WithoutLandlock,
        }
    }

    /// Blocks files, ports, and sockets and signals of other processes, as far as the kernel supports
    /// it.
    fn landlock() -> io::Result<RulesetStatus> {
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))
            .and_then(|rules| rules.handle_access(AccessNet::from_all(LANDLOCK)))
            .and_then(|rules| rules.scope(Scope::from_all(LANDLOCK)))
            .and_then(Ruleset::create)
            .and_then(landlock::RulesetCreated::restrict_self)
            .map_err(io::Error::other)?;
        Ok(status.ruleset)
    }

    /// Matches `tgkill`, with which `abort()` ends the process, only for the process itself: its
    /// first argument is the process id.
    fn own_process() -> io::Result<SeccompRule> {
        let process = u64::from(std::process::id());
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, process)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(io::Error::other)
    }

    /// Installs two filters. The kernel applies the stricter result.
    fn seccomp() -> io::Result<()> {
        let denied = DENIED.iter().map(|&call| (call, Vec::new())).collect();
        let error = u32::try_from(libc::EACCES).map_err(io::Error::other)?;
        let deny = program(denied, SeccompAction::Allow, SeccompAction::Errno(error))?;
        let allow = allow_program()?;
        apply_filter_all_threads(&deny).map_err(io::Error::other)?;
        // The first filter allows the system call that installs the second.
        apply_filter_all_threads(&allow).map_err(io::Error::other)
    }

    /// The filter that kills the process if it makes a system call that it does not need.
    fn allow_program() -> io::Result<BpfProgram> {
        let allowed = ALLOWED
            .iter()
            .chain(DENIED)
            .map(|&call| (call, Vec::new()))
            .chain([(libc::SYS_tgkill, vec![own_process()?])])
            .collect();
        program(allowed, SeccompAction::KillProcess, SeccompAction::Allow)
    }

    /// A filter with an action for the listed system calls, and one for all others.
    fn program(
        listed: BTreeMap<i64, Vec<SeccompRule>>,
        others: SeccompAction,
        action: SeccompAction,
    ) -> io::Result<BpfProgram> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
        SeccompFilter::new(listed, others, action, arch)
            .and_then(BpfProgram::try_from)
            .map_err(io::Error::other)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// What the kernel does with a system call, as it evaluates the filter. Implements the
        /// instructions that `seccompiler` generates.
        fn evaluate(program: &BpfProgram, call: i64, arguments: [u64; 6]) -> u32 {
            let arch = match TargetArch::try_from(std::env::consts::ARCH) {
                Ok(TargetArch::x86_64) => 0xC000_003E_u32,
                Ok(TargetArch::aarch64) => 0xC000_00B7,
                other => panic!("{other:?}"),
            };
            // `struct seccomp_data` on a little-endian machine.
            let mut data = u32::try_from(call).unwrap().to_le_bytes().to_vec();
            data.extend(arch.to_le_bytes());
            data.extend(0_u64.to_le_bytes());
            data.extend(arguments.iter().flat_map(|argument| argument.to_le_bytes()));
            let (mut accumulator, mut at) = (0_u32, 0);
            loop {
                let instruction = &program[at];
                let k = instruction.k;
                at += 1;
                let condition = match instruction.code {
                    0x20 => {
                        let bytes = &data[k as usize..k as usize + 4];
                        accumulator = u32::from_le_bytes(bytes.try_into().unwrap());
                        continue;
                    }
                    0x54 => {
                        accumulator &= k;
                        continue;
                    }
                    0x05 => {
                        at += k as usize;
                        continue;
                    }
                    0x06 => return k,
                    0x15 => accumulator == k,
                    0x25 => accumulator > k,
                    0x35 => accumulator >= k,
                    code => panic!("unknown instruction {code:#x}"),
                };
                at += usize::from(if condition {
                    instruction.jt
                } else {
                    instruction.jf
                });
            }
        }

        #[test]
        fn the_process_can_signal_only_itself() {
            let program = allow_program().unwrap();
            let allow = u32::from(SeccompAction::Allow);
            let kill = u32::from(SeccompAction::KillProcess);
            let own = u64::from(std::process::id());
            let signal =
                |process: u64| evaluate(&program, libc::SYS_tgkill, [process, process, 6, 0, 0, 0]);
            assert_eq!(signal(own), allow);
            let parent = u64::from(std::os::unix::process::parent_id());
            for other in [parent, own + 1, 1, 0, u64::from(u32::MAX)] {
                assert_eq!(signal(other), kill, "{other}");
            }
            for call in [
                libc::SYS_kill,
                libc::SYS_tkill,
                libc::SYS_rt_sigqueueinfo,
                libc::SYS_rt_tgsigqueueinfo,
                libc::SYS_pidfd_send_signal,
            ] {
                assert_eq!(evaluate(&program, call, [own, own, 6, 0, 0, 0]), kill);
            }
            assert_eq!(evaluate(&program, libc::SYS_read, [0; 6]), allow);
        }

        #[test]
        fn a_kernel_with_a_part_of_the_rules_is_reported_as_such() {
            for (status, expected) in [
                (RulesetStatus::FullyEnforced, Confinement::Full),
                (
                    RulesetStatus::PartiallyEnforced,
                    Confinement::PartialLandlock,
                ),
                (RulesetStatus::NotEnforced, Confinement::WithoutLandlock),
            ] {
                assert_eq!(level(&status), expected);
            }
        }
    }
}
