//! Questions and answers over a tenant's database behind the emulator's data plane, with the
//! deterministic OpenAI stub as the model.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test, as tests do"
)]

#[expect(
    dead_code,
    reason = "shared with the tests of workspaces, which use the rest"
)]
#[path = "../workspaces/cluster.rs"]
mod cluster;
#[expect(
    dead_code,
    reason = "shared with the tests of workspaces, which use the rest"
)]
#[path = "../workspaces/world.rs"]
mod world;

#[expect(
    dead_code,
    reason = "shared with the tests of the web, which use the rest"
)]
#[path = "../web/browser.rs"]
mod browser;

mod answers;
#[path = "../shared/emulator.rs"]
mod emulator;
mod pages;
mod support;
mod writers;
