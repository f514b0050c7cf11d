//! Checks that imports inside this crate point one way.
//!
//! `src/lib.rs` declares the modules in layers, from top to bottom; a comment starts each layer. A
//! module may import only modules of lower layers. Below the crate's root, the modules of a folder
//! must not import each other in a cycle. Imports between a module and its own submodules, and
//! imports of tests, are not restricted.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "an unreadable source file fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The path of a module or an item, without the leading `crate`.
type ModulePath = Vec<String>;

/// For each folder, which of its modules import which others.
type Imports = BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>>;

#[test]
fn modules_import_only_lower_layers() {
    let layers = layers();
    let layer_of = |module: &str| {
        layers
            .iter()
            .position(|layer| layer.iter().any(|name| name == module))
            .unwrap_or_else(|| panic!("lib.rs does not list {module} in a layer"))
    };
    let imports = imports();
    let mut violations = Vec::new();
    for (module, imported) in &imports[&ModulePath::new()] {
        for other in imported {
            if layer_of(other) <= layer_of(module) {
                violations.push(format!("{module} imports {other}"));
            }
        }
    }
    assert!(violations.is_empty(), "upward imports: {violations:#?}");
}

#[test]
fn modules_of_a_folder_do_not_import_each_other_in_a_cycle() {
    for (folder, imports) in imports() {
        if let Some(cycle) = find_cycle(&imports) {
            panic!(
                "cycle in crate::{}: {}",
                folder.join("::"),
                cycle.join(" -> ")
            );
        }
    }
}

#[test]
fn only_the_neon_module_uses_the_client_of_neon() {
    let mut files = Vec::new();
    collect(Path::new(SRC), &mut files);
    for (module, file) in files {
        let text = read(&file);
        let mut imported = Vec::new();
        for (start, _) in text.match_indices("neon_client::") {
            let tree = &text[start..];
            let end = tree.find([';', '(', '<', '=']).unwrap_or(tree.len());
            expand(&tree[..end], &mut Vec::new(), &mut imported);
        }
        let uses_client = imported
            .iter()
            .any(|path| path.get(1).is_some_and(|name| name == "Neon"));
        assert_eq!(uses_client, module == ["neon"], "{}", file.display());
    }
}

#[test]
fn use_trees_are_expanded() {
    let expanded = |tree: &str| {
        let mut paths = Vec::new();
        expand(tree, &mut Vec::new(), &mut paths);
        paths.iter().map(|path| path.join("::")).collect::<Vec<_>>()
    };
    assert_eq!(expanded("crate::a::B"), ["crate::a::B"]);
    assert_eq!(
        expanded("super::{a::{B, self}, c as d, *}"),
        ["super::a::B", "super::a", "super::c", "super::*"]
    );
}

#[test]
fn a_cycle_is_found() {
    let imports = |edges: &[(&str, &str)]| {
        let mut imports = BTreeMap::<String, BTreeSet<String>>::new();
        for (from, to) in edges {
            let imported = imports.entry((*from).to_owned()).or_default();
            imported.insert((*to).to_owned());
        }
        imports
    };
    assert_eq!(
        find_cycle(&imports(&[("a", "b"), ("a", "c"), ("b", "c")])),
        None
    );
    let cycle = find_cycle(&imports(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap();
    assert_eq!(cycle, ["b", "c", "b"]);
}

/// The modules of `lib.rs`, grouped by the comments above them.
fn layers() -> Vec<Vec<String>> {
    let mut layers = vec![Vec::new()];
    for line in read(Path::new(SRC).join("lib.rs").as_path()).lines() {
        let line = line.trim();
        if line.starts_with("// ") {
            layers.push(Vec::new());
        }
        let declaration = line.strip_prefix("pub ").unwrap_or(line);
        let module = declaration
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'));
        if let (Some(module), Some(layer)) = (module, layers.last_mut()) {
            layer.push(module.to_owned());
        }
    }
    layers
}

fn imports() -> Imports {
    let mut files = Vec::new();
    collect(Path::new(SRC), &mut files);
    let modules: BTreeSet<ModulePath> = files.iter().map(|(module, _)| module.clone()).collect();
    let mut imports = Imports::new();
    for (module, file) in &files {
        for imported in imported_paths(module, &read(file)) {
            let common = module
                .iter()
                .zip(&imported)
                .take_while(|(a, b)| a == b)
                .count();
            let (Some(from), Some(to)) = (module.get(common), imported.get(common)) else {
                continue;
            };
            if modules.contains(&imported[..=common]) {
                imports
                    .entry(module[..common].to_vec())
                    .or_default()
                    .entry(from.clone())
                    .or_default()
                    .insert(to.clone());
            }
        }
    }
    imports
}

/// All source files with their module paths, except tests and the crate's roots.
fn collect(folder: &Path, files: &mut Vec<(ModulePath, PathBuf)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(SRC).unwrap().with_extension("");
        let module: ModulePath = relative
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if module.iter().any(|part| part == "tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && module != ["lib"]
            && module != ["main"]
        {
            files.push((module, path));
        }
    }
}

/// The paths inside the crate that a file imports, or names in full.
fn imported_paths(module: &[String], text: &str) -> Vec<ModulePath> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let mut paths = Vec::new();
    for root in ["crate::", "super::"] {
        for (start, _) in code.match_indices(root) {
            let boundary = code[..start]
                .chars()
                .next_back()
                .is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
            if boundary {
                let tree = &code[start..];
                let end = tree.find([';', '(', '<', '=']);
                expand(
                    &tree[..end.unwrap_or(tree.len())],
                    &mut Vec::new(),
                    &mut paths,
                );
            }
        }
    }
    paths
        .into_iter()
        .filter_map(|path| resolve(module, &path))
        .collect()
}

/// Expands a use tree, such as `a::{b, c::d}`, to its paths. Text after the tree is ignored.
fn expand(tree: &str, prefix: &mut Vec<String>, paths: &mut Vec<ModulePath>) {
    let depth = prefix.len();
    let mut rest = tree.trim();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            for branch in branches(group) {
                expand(branch, prefix, paths);
            }
            break;
        }
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*')
            .unwrap_or(rest.len());
        let segment = &rest[..end];
        if !segment.is_empty() && segment != "self" {
            prefix.push(segment.to_owned());
        }
        match rest[end..].strip_prefix("::") {
            Some(next) if !segment.is_empty() => rest = next,
            _ => {
                if prefix.len() > depth || segment == "self" {
                    paths.push(prefix.clone());
                }
                break;
            }
        }
    }
    prefix.truncate(depth);
}

/// The top-level branches of a group, up to its closing brace.
fn branches(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut branches) = (0_usize, 0, Vec::new());
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                branches.push(&group[start..index]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(&group[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    branches
}

/// The path from the crate's root, for a path that starts with `crate` or `super`.
fn resolve(module: &[String], path: &[String]) -> Option<ModulePath> {
    let (first, rest) = path.split_first()?;
    if first == "crate" {
        return Some(rest.to_vec());
    }
    let supers = path
        .iter()
        .take_while(|segment| *segment == "super")
        .count();
    let parent = module.get(..module.len().checked_sub(supers)?)?;
    Some([parent, &path[supers..]].concat())
}

fn find_cycle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        module: &String,
        imports: &BTreeMap<String, BTreeSet<String>>,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = path.iter().position(|visited| visited == module) {
            return Some([&path[start..], std::slice::from_ref(module)].concat());
        }
        if !done.contains(module) {
            path.push(module.clone());
            for imported in imports.get(module).into_iter().flatten() {
                if let Some(cycle) = visit(imported, imports, path, done) {
                    return Some(cycle);
                }
            }
            path.pop();
            done.insert(module.clone());
        }
        None
    }
    let mut done = BTreeSet::new();
    imports
        .keys()
        .find_map(|module| visit(module, imports, &mut Vec::new(), &mut done))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
