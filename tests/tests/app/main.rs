//! The chat app end to end, through HTTP as pages and scripts use it, on real servers: what people do, what strangers get, and
//! what is left when things fail.

mod kills;
mod outages;
mod people;
mod removal;
mod strangers;

use std::process::ExitCode;

use tests::site::Shared;
use tests::{SiteOptions, suite};

/// For tests that leave each other alone.
static QUIET: Shared = Shared::new(SiteOptions::default);
/// For tests that take things away.
static DISTURBED: Shared = Shared::serial(disturbed);

fn disturbed() -> SiteOptions {
    SiteOptions {
        proxied: true,
        separate_worker: true,
        cluster: tests::ClusterOptions::default().proxied(),
        ..SiteOptions::default()
    }
}

/// Makes a list of tests on a site from functions, each under the name of its module and its own.
macro_rules! tests_on {
    ($shared:path: $($test:ident),+ $(,)?) => {
        pub(crate) fn tests() -> Vec<tests::suite::Trial> {
            vec![$(tests::suite::test_site(
                concat!(module_path!(), "::", stringify!($test)), &$shared, $test,
            )),+]
        }
    };
}
use tests_on;

fn main() -> ExitCode {
    let tests = [
        kills::tests(),
        outages::tests(),
        people::tests(),
        removal::tests(),
        strangers::tests(),
    ];
    suite::run_and_then(tests.into_iter().flatten().collect(), async {
        let quiet = QUIET.end().await;
        DISTURBED.end().await.and(quiet)
    })
}
