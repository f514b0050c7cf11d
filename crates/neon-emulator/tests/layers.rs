//! Checks that the modules of the crate depend only on modules of lower layers.
//!
//! `src/lib.rs` declares the modules from the highest layer to the lowest; each paragraph of
//! declarations is a layer. Modules of the same layer must not depend on each other.

#![expect(clippy::expect_used, reason = "a failed expectation fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The layer of each module; 0 is the highest.
fn layers(lib: &str) -> BTreeMap<String, usize> {
    let declarations = |paragraph: &str| -> Vec<String> {
        paragraph
            .lines()
            .filter_map(|line| {
                let line = line.strip_prefix("pub ").unwrap_or(line);
                line.strip_prefix("mod ")?.strip_suffix(';')
            })
            .map(str::to_owned)
            .collect()
    };
    lib.split("\n\n")
        .map(declarations)
        .filter(|modules| !modules.is_empty())
        .enumerate()
        .flat_map(|(layer, modules)| modules.into_iter().map(move |module| (module, layer)))
        .collect()
}

/// The modules that a file names after `crate::`, also within `use crate::{..}`.
fn dependencies(code: &str) -> BTreeSet<String> {
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    for (at, pattern) in code.match_indices("crate::") {
        let rest = &code[at + pattern.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(heads(group)),
            None => found.extend(head(rest)),
        }
    }
    found
}

fn head(path: &str) -> Option<String> {
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    (end > 0).then(|| path[..end].to_owned())
}

/// The first segments of the paths in a group, up to its closing brace.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (0_usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                heads.extend(head(group[start..=at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn modules_depend_only_on_lower_layers() {
    let lib = std::fs::read_to_string(source().join("lib.rs")).expect("lib.rs");
    let layers = layers(&lib);
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let mut checked = BTreeSet::new();
    let mut violations = Vec::new();
    for file in files {
        let relative = file.strip_prefix(source()).expect("below src");
        let first = relative.iter().next().and_then(|name| name.to_str());
        let module = first.expect("a name").trim_end_matches(".rs");
        let Some(layer) = layers.get(module) else {
            continue;
        };
        checked.insert(module.to_owned());
        let code = std::fs::read_to_string(&file).expect("a source file");
        for dependency in dependencies(&code) {
            let is_allowed = layers.get(&dependency).is_none_or(|lower| lower > layer);
            if dependency != module && !is_allowed {
                violations.push(format!("{} uses {dependency}", relative.display()));
            }
        }
    }
    let declared: BTreeSet<String> = layers.into_keys().collect();
    assert_eq!(checked, declared, "every declared module was checked");
    assert_eq!(violations, Vec::<String>::new());
}

#[test]
fn dependencies_are_found_in_every_form() {
    let code = "use crate::clock::{Micros, SECOND};\nuse crate::{store, api::{Api, view}};\n\
                fn f() { crate::faults::g() }\n// crate::tls::x";
    let expected = ["api", "clock", "faults", "store"].map(str::to_owned);
    assert_eq!(dependencies(code), BTreeSet::from(expected));
}
