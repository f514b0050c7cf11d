//! The Go toolchain that recipes compile with.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Go older than this cannot fetch the toolchain that a module names: it would fail late, with a riddle.
const OLDEST: (u32, u32) = (1, 21);

/// Fails with `what_to_install` where `go` is too old.
pub(super) fn require_go(go: &Path, what_to_install: &str) -> Result<()> {
    let output = Command::new(go)
        .arg("version")
        .output()
        .with_context(|| format!("{} cannot be run", go.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((major, minor)) = go_version(&said) else {
        bail!(
            "cannot read the version of {} from {:?}: {what_to_install}",
            go.display(),
            said.trim()
        );
    };
    if (major, minor) < OLDEST {
        bail!(
            "{} is version {major}.{minor}, which is too old: {what_to_install}",
            go.display()
        );
    }
    Ok(()) // from 1.21 on, go fetches the toolchain that a module names from the module proxy by itself
}

fn go_version(said: &str) -> Option<(u32, u32)> {
    let version = said
        .split_whitespace()
        .find_map(|word| word.strip_prefix("go1."))?;
    let minor: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((1, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_go_is_read_from_what_it_says() {
        assert_eq!(
            go_version("go version go1.26.8 linux/amd64\n"),
            Some((1, 26))
        );
        assert_eq!(
            go_version("go version go1.27rc1 linux/arm64\n"),
            Some((1, 27))
        );
        assert_eq!(go_version("sh: go: not found"), None);
    }
}
