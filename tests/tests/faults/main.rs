//! Whatever fails, and wherever it fails, the end is the same: one project per Tenant, none without, and nothing stuck.

mod chaos;
mod crash;
mod end;
mod outages;
mod replicas;
mod run;
mod scenarios;
mod stage;

use std::process::ExitCode;

use tests::suite;

/// Set to anything for the full form of these tests.
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
    suite::run_and_then(tests.into_iter().flatten().collect(), stage::end())
}
