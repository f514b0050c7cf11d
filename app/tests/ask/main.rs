//! Questions and answers over a tenant's database behind the emulator's data plane, with the
//! deterministic OpenAI stub as the model.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test helpers fail the test"
)]

#[expect(dead_code, reason = "shared with the workspaces tests")]
#[path = "../workspaces/api_server.rs"]
mod api_server;
#[expect(dead_code, reason = "shared with the workspaces tests")]
#[path = "../workspaces/fixture.rs"]
mod fixture;

#[expect(dead_code, reason = "shared with the web tests")]
#[path = "../web/browser.rs"]
mod browser;

mod answers;
#[path = "../shared/emulator.rs"]
mod emulator;
mod pages;
mod support;
mod writers;
