//! End-to-end tests of the controller on real servers, from the Tenant through the Neon project and
//! the schema to the Secret and the status.

mod adoption;
mod api_usage;
mod charts;
mod classes;
mod computes;
mod data_safety;
mod deletion;
mod drift;
mod gitops;
mod hostile_tenants;
mod lifecycle;
mod migrations;
mod namespaces;
mod plans;
mod readme;
mod replicas;
mod restores;
mod rollouts;
mod safeguards;
mod secret_leaks;
mod secrets;
mod suspend;
mod updates;
mod validation;

use std::process::ExitCode;

use test_support::suite;

fn main() -> ExitCode {
    let modules = [
        // The slowest tests run first.
        replicas::tests(),
        readme::tests(),
        charts::tests(),
        data_safety::restarting(),
        safeguards::tests(),
        computes::without_connect_timeout(),
        rollouts::tests(),
        restores::tests(),
        deletion::tests(),
        data_safety::tests(),
        hostile_tenants::tests(),
        validation::tests(),
        lifecycle::tests(),
        updates::tests(),
        computes::tests(),
        adoption::tests(),
        secrets::tests(),
        classes::tests(),
        migrations::tests(),
        namespaces::tests(),
        plans::tests(),
        drift::tests(),
        api_usage::tests(),
        suspend::tests(),
        gitops::tests(),
        secret_leaks::tests(),
    ];
    suite::run(modules.into_iter().flatten().collect())
}
