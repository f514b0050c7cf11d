//! What every long-running program of this workspace needs: [`settings`] from flags, environment
//! and file, [`telemetry`], [`http`] servers with limits, the [`process`] with its exit code and
//! graceful shutdown, and the client and watches of the Kubernetes API.

use std::error::Error;

pub mod http;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod process;
pub mod settings;
mod shutdown;
pub mod telemetry;

pub use shutdown::shutdown_signal;

/// Formats an error and its causes in one line. A cause that the text already contains is left out.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        cause: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, rest) = texts.split_first().unwrap();
        Layer {
            text,
            cause: (!rest.is_empty()).then(|| Box::new(layers(rest))),
        }
    }

    #[test]
    fn causes_are_joined_in_one_line_without_repetition() {
        assert_eq!(error_chain(&layers(&["request failed"])), "request failed");
        assert_eq!(
            error_chain(&layers(&[
                "request failed",
                "connection lost",
                "reset by peer"
            ])),
            "request failed: connection lost: reset by peer"
        );
        assert_eq!(
            error_chain(&layers(&[
                "request failed: connection lost",
                "connection lost",
                "reset by peer"
            ])),
            "request failed: connection lost: reset by peer"
        );
    }
}
