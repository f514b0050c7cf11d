//! Checks that the imports inside each crate point one way.
//!
//! The modules of a folder must not import each other in a cycle. In the layered crates, the root
//! declares the modules in layers, from top to bottom and separated by blank lines. A module
//! imports only modules of lower layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::imports::{ModulePath, Sources};
use super::workspace;

/// The modules that declare their submodules in layers: the crate's folder and the module.
const LAYERED: [(&str, &[&str]); 5] = [
    ("controller", &[]),
    ("app", &[]),
    ("app", &["web"]),
    ("app", &["web", "shared"]),
    ("crates/neon-emulator", &[]),
];

#[test]
fn no_modules_of_a_folder_import_each_other_in_a_cycle() {
    let mut cycles = Vec::new();
    for folder in crates() {
        let imports = Sources::read(&workspace().join(&folder).join("src")).imports();
        for (parent, imports) in &imports {
            if let Some(cycle) = find_cycle(imports) {
                cycles.push(format!("{folder}: crate::{}: {}", parent.join("::"), cycle));
            }
        }
    }
    assert!(cycles.is_empty(), "{cycles:#?}");
}

#[test]
fn modules_import_only_modules_of_lower_layers() {
    let mut violations = Vec::new();
    for (folder, module) in LAYERED {
        let sources = Sources::read(&workspace().join(folder).join("src"));
        let module: ModulePath = module.iter().map(|&name| name.to_owned()).collect();
        let layers = layers(&sources, &module);
        for (from, imported) in sources.imports().remove(&module).unwrap_or_default() {
            for (to, origin) in imported {
                let layer_of = |module: &str| {
                    layers
                        .get(module)
                        .unwrap_or_else(|| panic!("{folder}: no layer has the module {module}"))
                };
                if layer_of(&to) <= layer_of(&from) {
                    violations.push(format!("{folder}: {from} imports {to}: {origin}"));
                }
            }
        }
    }
    assert!(violations.is_empty(), "upward imports: {violations:#?}");
}

#[test]
fn only_the_neon_module_of_the_controller_uses_the_client_of_neon() {
    let sources = Sources::read(&workspace().join("controller/src"));
    let users: Vec<String> = sources
        .modules()
        .filter(|(_, code)| {
            let mut uses = code.split("neon_client::").skip(1);
            uses.any(|after| {
                let declaration = after.split([';', '(', '<', '=']).next().unwrap_or_default();
                declaration
                    .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .any(|name| name == "Neon")
            })
        })
        .map(|(module, _)| module.join("::"))
        .collect();
    assert_eq!(users, ["neon"]);
}

/// The folders of all crates that have sources.
fn crates() -> Vec<String> {
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).expect("read Cargo.toml");
    let (_, rest) = manifest.split_once("\nmembers = [").expect("members");
    let (members, _) = rest.split_once(']').expect("the end of the members");
    let members = members.split('"').skip(1).step_by(2).map(str::to_owned);
    let crates: Vec<_> = members
        .filter(|member| workspace().join(member).join("src").is_dir())
        .collect();
    assert!(crates.len() > 10, "{crates:?}");
    crates
}

/// The layer of each submodule; 0 is the highest.
fn layers(sources: &Sources, module: &ModulePath) -> BTreeMap<String, usize> {
    let (_, code) = sources
        .modules()
        .find(|(path, _)| *path == module)
        .expect("the layered module");
    let mut layers = BTreeMap::new();
    for (layer, paragraph) in code.split("\n\n").enumerate() {
        for line in paragraph.lines() {
            let words: Vec<&str> = line.split([' ', ';']).collect();
            if let ["mod", name, ""] | ["pub" | "pub(crate)", "mod", name, ""] = words[..] {
                layers.insert(name.to_owned(), layer);
            }
        }
    }
    assert!(layers.len() > 2, "{layers:?}");
    layers
}

fn find_cycle(imports: &BTreeMap<String, BTreeMap<String, String>>) -> Option<String> {
    let mut done = BTreeSet::new();
    imports
        .keys()
        .find_map(|module| visit(module, imports, &mut Vec::new(), &mut done))
}

/// Follows the imports of a module, and describes the first cycle.
fn visit<'a>(
    module: &'a str,
    imports: &'a BTreeMap<String, BTreeMap<String, String>>,
    path: &mut Vec<(&'a str, &'a str)>,
    done: &mut BTreeSet<&'a str>,
) -> Option<String> {
    if let Some(start) = path.iter().position(|(visited, _)| *visited == module) {
        let origins: Vec<&str> = path[start..].iter().map(|(_, origin)| *origin).collect();
        return Some(origins.join(", "));
    }
    if !done.insert(module) {
        return None;
    }
    for (imported, origin) in imports.get(module).into_iter().flatten() {
        path.push((module, origin));
        let cycle = visit(imported, imports, path, done);
        path.pop();
        if cycle.is_some() {
            return cycle;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(edges: &[(&str, &str)]) -> Option<String> {
        let mut imports = BTreeMap::<String, BTreeMap<String, String>>::new();
        for (from, to) in edges {
            let imported = imports.entry((*from).to_owned()).or_default();
            imported.insert((*to).to_owned(), format!("{from} uses {to}"));
        }
        find_cycle(&imports)
    }

    #[test]
    fn a_cycle_is_found() {
        assert_eq!(cycle(&[("a", "b"), ("a", "c"), ("b", "c")]), None);
        assert_eq!(
            cycle(&[("a", "b"), ("b", "c"), ("c", "b")]).as_deref(),
            Some("b uses c, c uses b")
        );
    }
}
