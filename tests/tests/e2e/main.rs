//! What must be shown of the chain Tenant -> Neon project -> schema -> Secret -> status, on real servers.

mod lifecycle;

use std::process::ExitCode;

use dbpertenant_tests::suite;

fn main() -> ExitCode {
    suite::run([lifecycle::tests()].into_iter().flatten().collect())
}
