//! What the child takes from itself: memory, time, files, programs and the network. Nothing of it can be undone.
//!
//! Three layers, each enough for what it covers. Resource limits bound what any system call could use. Landlock takes away all
//! files and ports (where the kernel has it). Seccomp allows the system calls of an allocator, of two pipes and of an ending thread;
//! any other ends the process, but for opening a file, which is only refused: the C library's allocator looks at a file of
//! `/proc` now and then, and does without.

use std::io;

use rlimit::Resource;

use crate::limits::Limits;

/// How much the kernel helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// Files, programs and the network are out of reach, by the kernel's word.
    Full,
    /// System calls are filtered and resources limited; this kernel has no Landlock.
    WithoutLandlock,
    /// Resources are limited; this system has neither.
    LimitsOnly,
}

/// Standard input, output and error: no other file can be had.
const FILES_MAX: u64 = 3;

/// Confines this process, all of its threads, to the limits, for good. The calling thread must be the one that goes on.
pub fn confine(limits: &Limits) -> io::Result<Confinement> {
    Resource::CORE.set(0, 0)?; // a dump would hold the document
    Resource::FSIZE.set(0, 0)?;
    Resource::CPU.set(limits.cpu_seconds_max, limits.cpu_seconds_max + 1)?;
    address_space(limits.memory_bytes_max)?;
    let confinement = kernel::confine()?;
    Ok(confinement)
}

#[cfg(target_os = "linux")]
fn address_space(bytes_max: u64) -> io::Result<()> {
    Resource::AS.set(bytes_max, bytes_max)
}

/// Elsewhere the system maps more into each process than a document may use.
#[cfg(not(target_os = "linux"))]
fn address_space(_: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod kernel {
    use super::{Confinement, FILES_MAX, Resource, io};

    pub(super) fn confine() -> io::Result<Confinement> {
        Resource::NOFILE.set(FILES_MAX, FILES_MAX)?;
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

    use super::{Confinement, FILES_MAX, Resource, io};

    /// The newest rules that are asked for; an older kernel takes those it knows.
    const LANDLOCK: ABI = ABI::V6;

    /// What the child may ask the kernel for.
    const ALLOWED: &[i64] = &[
        // Its two pipes.
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        // Memory.
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
        // Locks, and the main thread's waiting for this one.
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_restart_syscall,
        // Seeds of hash maps, and clocks where they need a call.
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        // What the allocator asks to know how many processors there are.
        libc::SYS_sched_getaffinity,
        // Ending: well, or by abort().
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

    /// What is refused, and ends nothing: see the module.
    #[cfg(target_arch = "x86_64")]
    const REFUSED: &[i64] = &[libc::SYS_open, libc::SYS_openat];
    #[cfg(target_arch = "aarch64")]
    const REFUSED: &[i64] = &[libc::SYS_openat];

    pub(super) fn confine() -> io::Result<Confinement> {
        let landlock = landlock()?;
        Resource::NOFILE.set(FILES_MAX, FILES_MAX)?; // Landlock needed one more
        Resource::NPROC.set(0, 0)?;
        seccomp()?;
        Ok(if landlock {
            Confinement::Full
        } else {
            Confinement::WithoutLandlock
        })
    }

    /// No file, no port, no socket or signal of others. Whether the kernel has it.
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

    /// Two filters: of two answers the kernel takes the stricter.
    fn seccomp() -> io::Result<()> {
        let allowed = ALLOWED.iter().chain(REFUSED);
        let filter = |calls: BTreeMap<_, _>, others, these| -> io::Result<BpfProgram> {
            let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
            SeccompFilter::new(calls, others, these, arch)
                .and_then(BpfProgram::try_from)
                .map_err(io::Error::other)
        };
        let refuse = filter(
            REFUSED.iter().map(|&call| (call, Vec::new())).collect(),
            SeccompAction::Allow,
            SeccompAction::Errno(u32::try_from(libc::EACCES).map_err(io::Error::other)?),
        )?;
        let allow = filter(
            allowed.map(|&call| (call, Vec::new())).collect(),
            SeccompAction::KillProcess,
            SeccompAction::Allow,
        )?;
        apply_filter_all_threads(&refuse).map_err(io::Error::other)?;
        // The first filter's rules allow what installs the second.
        apply_filter_all_threads(&allow).map_err(io::Error::other)
    }
}
