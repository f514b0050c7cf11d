//! The SQLSTATEs of the proxy's errors.
//!
//! Within a year, Neon's proxy sent the same messages with different SQLSTATEs. On request, the
//! emulator chooses one at random for each error, so that a client has to rely on the message.

use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::error_response::{ErrorResponse, PROXY_ERROR};

const OBSERVED: [&str; 3] = [PROXY_ERROR, "28000", "08006"];

/// Chooses the SQLSTATEs of the proxy's errors.
#[derive(Debug)]
pub(crate) struct ProxySqlstates(Option<Mutex<StdRng>>);

impl ProxySqlstates {
    pub(crate) fn new(vary: bool, seed: u64) -> Self {
        Self(vary.then(|| Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// The error as the client receives it. Errors with another SQLSTATE than [`PROXY_ERROR`] are
    /// PostgreSQL's own, and stay as they are.
    pub(super) fn apply(&self, response: ErrorResponse) -> ErrorResponse {
        let Some(rng) = self.0.as_ref().filter(|_| response.code == PROXY_ERROR) else {
            return response;
        };
        let code = OBSERVED.choose(&mut *rng.lock()).copied();
        ErrorResponse {
            code: code.unwrap_or(PROXY_ERROR),
            ..response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(vary: bool, seed: u64) -> Vec<&'static str> {
        let sqlstates = ProxySqlstates::new(vary, seed);
        let error = || ErrorResponse::proxy("Couldn't connect to compute node");
        (0..50).map(|_| sqlstates.apply(error()).code).collect()
    }

    #[test]
    fn the_sqlstates_of_the_proxys_errors_vary_by_seed() {
        let varying = codes(true, 1);
        for code in OBSERVED {
            assert!(varying.contains(&code), "{code}");
        }
        assert_eq!(varying, codes(true, 1));
        assert_ne!(varying, codes(true, 2));
        assert!(codes(false, 1).iter().all(|code| *code == PROXY_ERROR));
    }

    #[test]
    fn other_errors_keep_their_sqlstates() {
        let error = ProxySqlstates::new(true, 1).apply(ErrorResponse::password("app"));
        assert_eq!(error.code, "28P01");
    }
}
