//! Checks that the workflows name every action by commit: a tag can be moved to other code.

use std::fs;
use std::path::Path;

#[test]
fn every_action_is_pinned_to_a_commit() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github/workflows");
    let mut actions = 0;
    for entry in fs::read_dir(folder).expect("read the workflows") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("read a workflow");
        for line in text.lines() {
            let Some((_, action)) = line.split_once("uses: ") else {
                continue;
            };
            actions += 1;
            let commit = action
                .split_whitespace()
                .next()
                .and_then(|action| action.split('@').nth(1))
                .unwrap_or_default();
            let is_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(is_commit, "{}: {action}", path.display());
        }
    }
    assert!(actions > 0, "the workflows use no actions");
}
