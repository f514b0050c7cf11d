//! Every limit of time in the end-to-end tests: one table. They say when to give up, not how long things take: on an idle
//! machine each wait ends after a fraction of its limit.

use std::time::Duration;

/// From an apply, or a change that wakes the Tenant, to its end: `Ready`, `Stalled`, gone.
pub const CONVERGE: Duration = Duration::from_mins(1);
/// What the controller sees in the account's listings only, such as a project that was renamed.
pub const DRIFT: Duration = Duration::from_mins(1);
/// An answer about a project was lost: the send window (10 s), the settle window, and a listing after it.
pub const SETTLE: Duration = Duration::from_secs(90);
/// Removing a namespace with everything in it.
pub const NAMESPACE_GONE: Duration = Duration::from_secs(90);
/// Events are published beside the work.
pub const EVENT: Duration = Duration::from_secs(30);
/// One kubectl, helm or psql.
pub const COMMAND: Duration = Duration::from_secs(90);
/// A controller that starts, and one that is asked to end.
pub const CONTROLLER: Duration = Duration::from_secs(40);
/// A whole cluster, from nothing.
pub const CLUSTER: Duration = Duration::from_mins(3);
/// A new holder of the Lease after the old one gave it back.
pub const HANDOVER: Duration = Duration::from_secs(10);
/// A new holder of the Lease after the old one was killed: the duration of the Lease and some tries to take it.
pub const TAKEOVER: Duration = Duration::from_secs(40);
/// How long a test looks on to see that nothing happens.
pub const NOTHING_HAPPENS: Duration = Duration::from_secs(4);
/// A whole test.
pub const TEST: Duration = Duration::from_mins(5);
/// From an upload to a document that can be searched, also when a worker died on the way and its job is taken over.
pub const SEARCHABLE: Duration = Duration::from_mins(2);
/// The same for a manual of some hundred pages, several at once, read by a program that is not optimised.
pub const MANUALS: Duration = Duration::from_mins(8);
/// From a question to the end of its answer.
pub const ANSWER: Duration = Duration::from_mins(1);
/// A workspace or an account with its database, its files and its rows.
pub const REMOVAL: Duration = Duration::from_mins(2);
/// A test with a site: several of the above in a row.
pub const STORY: Duration = Duration::from_mins(15);
/// How often is asked where nothing can be watched: the emulator's state, a file, a port.
pub const POLL: Duration = Duration::from_millis(50);
