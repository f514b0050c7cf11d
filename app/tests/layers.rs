//! Holds the modules of the crate to their layers: a module imports only from modules that come
//! before it in [`ORDERS`], and no two sibling modules import each other.

#![expect(clippy::expect_used, reason = "test helpers may fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The order of the modules below a parent. `lib.rs`, `web.rs` and `web/shared.rs` document it.
const ORDERS: [(&str, &[&str]); 3] = [
    (
        "",
        &[
            "ids",
            "domain",
            "telemetry",
            "events",
            "jobs",
            "config",
            "tenants",
            "database",
            "objects",
            "identity",
            "documents",
            "workspaces",
            "ask",
            "ingestion",
            "web",
            "run",
        ],
    ),
    (
        "web",
        &[
            "shared",
            "home",
            "identity",
            "documents",
            "chat",
            "workspaces",
            "router",
        ],
    ),
    (
        "web::shared",
        &[
            "assets",
            "pages",
            "error",
            "cookies",
            "security",
            "client_address",
            "rate_limit",
            "streams",
            "app",
            "route",
            "extract",
            "receipts",
            "unavailable",
            "middleware",
        ],
    ),
];

/// An import of one sibling module by another, with the file and the path it was found in.
type Imports = BTreeMap<(String, String, String), String>;

#[test]
fn modules_import_only_from_lower_layers() {
    let mut violations = Vec::new();
    for ((parent, from, to), origin) in imports() {
        let Some((_, order)) = ORDERS.iter().find(|(name, _)| *name == parent) else {
            continue;
        };
        let layer = |module: &str| {
            order
                .iter()
                .position(|name| *name == module)
                .unwrap_or_else(|| panic!("{parent}::{module} has no layer"))
        };
        if layer(&to) >= layer(&from) {
            violations.push(format!("{from} imports {to}: {origin}"));
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn no_two_sibling_modules_import_each_other() {
    let imports = imports();
    let circles: BTreeSet<String> = imports
        .iter()
        .filter_map(|((parent, from, to), origin)| {
            let back = imports.get(&(parent.clone(), to.clone(), from.clone()))?;
            (from < to).then(|| format!("{parent}: {from} <-> {to} ({origin}; {back})"))
        })
        .collect();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn paths_with_nested_braces_are_expanded() {
    let code = "use crate::a::{self, b::{C, D as E}, f};\nlet x = super::g::H::i();";
    let paths = paths(code, &["m".to_owned(), "n".to_owned()]);
    assert_eq!(paths, ["a", "a::b::C", "a::b::D", "a::f", "m::g::H::i"]);
}

/// Every import between siblings: `crate::a::b` in the module `a::c` is an import of `b` by `c`
/// below `a`.
fn imports() -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let modules: BTreeSet<Vec<String>> = files.iter().map(|(module, _)| module.clone()).collect();
    let mut imports = Imports::new();
    for (module, code) in &files {
        for path in paths(code, module) {
            let target: Vec<String> = path.split("::").map(str::to_owned).collect();
            let target = (0..=target.len())
                .rev()
                .map(|length| target[..length].to_vec())
                .find(|prefix| modules.contains(prefix))
                .unwrap_or_default();
            let common = module
                .iter()
                .zip(&target)
                .take_while(|(a, b)| a == b)
                .count();
            if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                let key = (module[..common].join("::"), from.clone(), to.clone());
                let origin = format!("{} uses crate::{path}", module.join("/"));
                imports.entry(key).or_insert(origin);
            }
        }
    }
    imports
}

/// The modules below a folder, each with its code without comments. `lib.rs` is the root module.
fn collect(folder: &Path, files: &mut Vec<(Vec<String>, String)>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(&root).expect("a file below src");
            let mut module: Vec<String> = relative
                .with_extension("")
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            match module.last().map(String::as_str) {
                Some("main") => continue,
                Some("lib") => module.clear(),
                _ => {}
            }
            let code = fs::read_to_string(&path).expect("a source file");
            let code: Vec<&str> = code
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default())
                .collect();
            files.push((module, code.join("\n")));
        }
    }
}

/// Every `crate::` and `super::` path in the code of a module, absolute and with its braces
/// expanded.
fn paths(code: &str, module: &[String]) -> Vec<String> {
    let tests_at = code.find("mod tests {").unwrap_or(code.len());
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = ["crate::", "super::"]
        .iter()
        .filter_map(|keyword| code[at..].find(keyword))
        .min()
    {
        let start = at + start;
        let before = &code[..start];
        at = start + "crate::".len();
        let is_path_start =
            !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        if !is_path_start || before.ends_with("pub(in ") {
            continue;
        }
        let mut rest = &code[start..];
        let mut base = module.to_vec();
        if start > tests_at {
            base.push("tests".to_owned());
        }
        if let Some(after) = rest.strip_prefix("crate::") {
            (rest, base) = (after, Vec::new());
        }
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        at = code.len() - rest.len();
        let mut expanded = Vec::new();
        expand(&mut rest, &base, &mut expanded);
        at = at.max(code.len() - rest.len());
        found.extend(expanded.iter().map(|path| path.join("::")));
    }
    found
}

/// Reads one path or a group in braces, and leaves `rest` behind it.
fn expand(rest: &mut &str, base: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = base.to_vec();
    loop {
        *rest = rest.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            *rest = group;
            loop {
                *rest = rest.trim_start();
                if let Some(after) = rest.strip_prefix('}') {
                    *rest = after;
                    return;
                }
                if let Some(after) = rest.strip_prefix(',') {
                    *rest = after;
                    continue;
                }
                if rest.is_empty() {
                    return;
                }
                expand(rest, &path, found);
            }
        }
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        *rest = after;
        if !name.is_empty() && name != "self" {
            path.push(name.to_owned());
        }
        match rest.strip_prefix("::") {
            Some(after) if !name.is_empty() => *rest = after,
            _ => break,
        }
    }
    if let Some(after) = rest.trim_start().strip_prefix("as ") {
        let after = after.trim_start();
        let end = after
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(after.len());
        *rest = &after[end..];
    } else if !rest.starts_with([',', '}', ';']) && !rest.is_empty() {
        // Skip one character that no path contains, such as `*` or `<`.
        *rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
    }
    found.push(path);
}
