//! End-to-end tests of the chat app on real servers, through the HTTP requests of its pages and
//! scripts: what users do, what is denied to other users, and what failures leave behind.

mod authorization;
mod deletion;
mod outages;
mod user_flows;
mod worker_crashes;

use std::process::ExitCode;

use test_support::shared_site::SharedSite;
use test_support::{SiteOptions, suite};

/// For tests that do not interrupt servers.
static UNDISTURBED: SharedSite = SharedSite::new(SiteOptions::default);
/// For tests that interrupt servers, one at a time.
static INTERRUPTED: SharedSite = SharedSite::serial(with_proxies);

fn with_proxies() -> SiteOptions {
    SiteOptions {
        proxied: true,
        separate_worker: true,
        cluster: test_support::ClusterOptions::default().proxied(),
        ..SiteOptions::default()
    }
}

/// Defines `tests()`, which returns a list of test functions on a site, named by module and
/// function.
macro_rules! tests_on {
    ($shared:path: $($test:ident),+ $(,)?) => {
        pub(crate) fn tests() -> Vec<test_support::suite::Trial> {
            vec![$(test_support::suite::test_site(
                concat!(module_path!(), "::", stringify!($test)), &$shared, $test,
            )),+]
        }
    };
}
use tests_on;

fn main() -> ExitCode {
    let tests = [
        worker_crashes::tests(),
        outages::tests(),
        user_flows::tests(),
        deletion::tests(),
        authorization::tests(),
    ];
    suite::run_and_then(tests.into_iter().flatten().collect(), async {
        let undisturbed = Box::pin(UNDISTURBED.stop()).await;
        Box::pin(INTERRUPTED.stop()).await.and(undisturbed)
    })
}
