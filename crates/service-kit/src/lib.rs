//! What every long-running program of this workspace has: [`mod@settings`] from flags, environment and file, [`telemetry`] (log lines,
//! traces, what the system knows of the process), and an [`http`] port with a limit on everything. It knows none of the programs.

use std::error::Error;

pub mod http;
pub mod settings;
pub mod stop;
pub mod telemetry;

/// An error and its causes in one line. Causes that an error has already told are not told again.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
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
    fn causes_stand_in_one_line_and_none_twice() {
        assert_eq!(error_chain(&layers(&["a fails"])), "a fails");
        assert_eq!(
            error_chain(&layers(&["a fails", "b is away", "c broke"])),
            "a fails: b is away: c broke"
        );
        assert_eq!(
            error_chain(&layers(&["a fails: b is away", "b is away", "c broke"])),
            "a fails: b is away: c broke"
        );
    }
}
