//! All timeouts of the end-to-end tests. They are upper bounds for busy machines: on an idle
//! machine each wait ends after a fraction of its timeout.

use std::time::Duration;

/// From an apply, or another change that triggers a reconcile, until its result: `Ready`, `Stalled`
/// or deleted.
pub const CONVERGE: Duration = Duration::from_mins(1);
/// Until the controller repairs something that it sees only in project listings, such as a renamed
/// project.
pub const DRIFT: Duration = Duration::from_mins(1);
/// After a lost response about a project: the send window (10 s), the verification window, and a
/// listing.
pub const CREATION_VERIFIED: Duration = Duration::from_secs(90);
/// For a namespace with its contents.
pub const NAMESPACE_DELETED: Duration = Duration::from_secs(90);
/// Events are published asynchronously.
pub const EVENT: Duration = Duration::from_secs(30);
/// For one run of kubectl, helm or psql.
pub const COMMAND: Duration = Duration::from_secs(90);
/// For the start or the shutdown of a controller.
pub const CONTROLLER: Duration = Duration::from_secs(40);
/// For the start of a whole cluster.
pub const CLUSTER: Duration = Duration::from_mins(3);
/// Until the Lease has a new holder after the old one released it.
pub const HANDOVER: Duration = Duration::from_secs(10);
/// Until the Lease has a new holder after the old one was killed: the duration of the Lease and
/// some attempts to acquire it.
pub const TAKEOVER: Duration = Duration::from_mins(1);
/// How long a test watches that something does not happen.
pub const QUIET_PERIOD: Duration = Duration::from_secs(4);
/// For a whole test on a cluster.
pub const TEST: Duration = Duration::from_mins(5);
/// From an upload until the document is searchable, even if a worker dies and its job is retried.
pub const INGESTION: Duration = Duration::from_mins(2);
/// The same for several manuals of some hundred pages at once, in a debug build.
pub const MANUALS: Duration = Duration::from_mins(8);
/// From a question to the end of its answer.
pub const ANSWER: Duration = Duration::from_mins(1);
/// For a workspace or an account with its database, files and rows.
pub const DELETION: Duration = Duration::from_mins(2);
/// For a whole test on a site.
pub const SITE_TEST: Duration = Duration::from_mins(15);
/// For a condition in a test of one crate.
pub const CONDITION: Duration = Duration::from_mins(1);
/// For state that cannot be watched: the emulator's, a file, a port.
pub const POLL_INTERVAL: Duration = Duration::from_millis(50);
