//! What must be shown of the chain Tenant -> Neon project -> schema -> Secret -> status, on real servers.

mod adoption;
mod classes;
mod computes;
mod deletion;
mod drift;
mod edits;
mod leaks;
mod lifecycle;
mod looking;
mod migrations;
mod replicas;
mod secrets;
mod specs;
mod suspend;

use std::process::ExitCode;

use tests::suite;

fn main() -> ExitCode {
    let modules = [
        // First those that take long, so that nothing is waited for at the end.
        replicas::tests(),
        deletion::tests(),
        specs::tests(),
        lifecycle::tests(),
        edits::tests(),
        computes::tests(),
        adoption::tests(),
        secrets::tests(),
        classes::tests(),
        migrations::tests(),
        drift::tests(),
        looking::tests(),
        suspend::tests(),
        leaks::tests(),
    ];
    suite::run(modules.into_iter().flatten().collect())
}
