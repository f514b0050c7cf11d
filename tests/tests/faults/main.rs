//! Fault injection: whatever fails and wherever, each Tenant ends up with exactly one project, no
//! project is without a Tenant, and nothing is stuck.

mod chaos;
mod crash;
mod fixture;
mod operations;
mod outages;
mod outcome;
mod replicas;
mod run;

use std::process::ExitCode;

use test_support::suite;

/// If this variable is set, the tests run in their full form.
const LONG: &str = "TEST_LONG";

fn is_long() -> bool {
    std::env::var_os(LONG).is_some()
}

fn main() -> ExitCode {
    let tests = [
        crash::tests(),
        chaos::tests(),
        outages::tests(),
        replicas::tests(),
    ];
    suite::run_and_then(tests.into_iter().flatten().collect(), fixture::stop())
}
