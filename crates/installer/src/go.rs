//! The Go toolchain, which compiles the control plane and the S3 server.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Older releases cannot fetch the toolchain that a module requires and would fail late with an
/// unclear error.
const MIN_VERSION: (u32, u32) = (1, 21);

/// Fails if `go` is too old.
pub(crate) fn require_go(go: &Path, what_to_install: &str) -> Result<()> {
    let output = Command::new(go)
        .arg("version")
        .output()
        .with_context(|| format!("failed to run {}", go.display()))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((major, minor)) = parse_version(&stdout) else {
        bail!(
            "failed to parse the version of {} from {:?}: {what_to_install}",
            go.display(),
            stdout.trim()
        );
    };
    if (major, minor) < MIN_VERSION {
        bail!(
            "{} is version {major}.{minor}, which is too old: {what_to_install}",
            go.display()
        );
    }
    Ok(())
}

fn parse_version(output: &str) -> Option<(u32, u32)> {
    let version = output
        .split_whitespace()
        .find_map(|word| word.strip_prefix("go1."))?;
    let minor: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((1, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_parsed_from_the_output_of_go_version() {
        assert_eq!(
            parse_version("go version go1.26.8 linux/amd64\n"),
            Some((1, 26))
        );
        assert_eq!(
            parse_version("go version go1.27rc1 linux/arm64\n"),
            Some((1, 27))
        );
        assert_eq!(parse_version("sh: go: not found"), None);
    }
}
