//! Compares the module map in ARCHITECTURE.md with the folders that it describes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::workspace;

/// The folder whose table is a selection: it also contains the end-to-end tests of both programs.
const PARTIAL: &str = "tests/";

#[test]
fn the_module_map_lists_every_module() {
    let root = workspace();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("read ARCHITECTURE.md");
    let (_, map) = text
        .split_once("\n## Module map\n")
        .expect("a module map in ARCHITECTURE.md");
    let map = map.split("\n## ").next().expect("a section");

    let mut tables = 0;
    for section in map.split("\n### `").skip(1) {
        let (folder, table) = section.split_once('`').expect("a heading with a folder");
        let listed: BTreeSet<String> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .map(str::to_owned)
            .collect();
        let folder_path = root.join(folder);
        let unknown: Vec<_> = listed
            .iter()
            .filter(|name| !folder_path.join(name).exists())
            .collect();
        assert!(unknown.is_empty(), "{folder} does not have {unknown:?}");
        if folder != PARTIAL {
            let found = modules(&folder_path);
            let missing: Vec<_> = found.difference(&listed).collect();
            assert!(missing.is_empty(), "the map of {folder} lacks {missing:?}");
        }
        tables += 1;
    }
    assert!(tables > 0, "the module map has no tables");
}

/// The modules of a folder: `name.rs`, or `name/` if there is no such file.
fn modules(folder: &Path) -> BTreeSet<String> {
    let entries: BTreeSet<String> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("failed to read {}: {error}", folder.display()))
        .map(|entry| {
            let entry = entry.expect("read a folder");
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() {
                format!("{name}/")
            } else {
                name
            }
        })
        .collect();
    entries
        .iter()
        .filter(|name| match name.strip_suffix('/') {
            Some(module) => !entries.contains(&format!("{module}.rs")),
            None => true,
        })
        .cloned()
        .collect()
}
