//! Workspaces, members, deletions and the pools of tenant databases.

mod create;
mod deletion;
mod members;
mod pools;
mod watch;
