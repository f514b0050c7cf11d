//! Sandbox of the child: it restricts memory, CPU time, files, programs and the network. It cannot
//! be undone.
//!
//! There are three layers. Resource limits bound the process. Landlock blocks all files and ports,
//! if the kernel supports it. Seccomp allows only the system calls needed by an allocator, two
//! pipes and an exiting thread. Any other system call kills the process, except opening a file,
//! which fails with an error: the C library's allocator occasionally reads a file in `/proc` and
//! works without it.

use std::io;

use rlimit::Resource;

use crate::limits::Limits;

/// Degree of confinement that the kernel supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// The kernel blocks access to files, programs and the network.
    Full,
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
        BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter_all_threads,
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
        libc::SYS_tgkill,
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
        Ok(if landlock {
            Confinement::Full
        } else {
            Confinement::WithoutLandlock
        })
    }

    /// Blocks files, ports, and sockets and signals of other processes. Returns whether the kernel
    /// supports Landlock.
    fn landlock() -> io::Result<bool> {
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))
            .and_then(|rules| rules.handle_access(AccessNet::from_all(LANDLOCK)))
            .and_then(|rules| rules.scope(Scope::from_all(LANDLOCK)))
            .and_then(Ruleset::create)
            .and_then(landlock::RulesetCreated::restrict_self)
            .map_err(io::Error::other)?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }

    /// Installs two filters. The kernel applies the stricter result.
    fn seccomp() -> io::Result<()> {
        let allowed = ALLOWED.iter().chain(DENIED);
        let filter =
            |calls: BTreeMap<_, _>, default_action, listed_action| -> io::Result<BpfProgram> {
                let arch =
                    TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
                SeccompFilter::new(calls, default_action, listed_action, arch)
                    .and_then(BpfProgram::try_from)
                    .map_err(io::Error::other)
            };
        let deny = filter(
            DENIED.iter().map(|&call| (call, Vec::new())).collect(),
            SeccompAction::Allow,
            SeccompAction::Errno(u32::try_from(libc::EACCES).map_err(io::Error::other)?),
        )?;
        let allow = filter(
            allowed.map(|&call| (call, Vec::new())).collect(),
            SeccompAction::KillProcess,
            SeccompAction::Allow,
        )?;
        apply_filter_all_threads(&deny).map_err(io::Error::other)?;
        // The first filter allows the system call that installs the second.
        apply_filter_all_threads(&allow).map_err(io::Error::other)
    }
}
