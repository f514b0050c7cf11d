//! Reads the modules of a crate and the imports between them.
//!
//! The sources are searched for paths that begin with `crate` or `super`, in `use` declarations and
//! anywhere else. A path through a re-export leads to the module that has the item. Tests are left
//! out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The path of a module or an item, without the leading `crate`. The root of the crate is empty.
pub(crate) type ModulePath = Vec<String>;

/// For each parent and each of its modules: the siblings that the module imports, each with one
/// place that does.
pub(crate) type Imports = BTreeMap<ModulePath, BTreeMap<String, BTreeMap<String, String>>>;

/// The code of every module, without comments and tests.
pub(crate) struct Sources(BTreeMap<ModulePath, String>);

impl Sources {
    /// Reads a crate's `src` folder.
    pub(crate) fn read(src: &Path) -> Self {
        let mut modules = BTreeMap::new();
        collect(src, &mut Vec::new(), &mut modules);
        Self(modules)
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = (&ModulePath, &str)> {
        self.0.iter().map(|(module, code)| (module, code.as_str()))
    }

    /// The imports between siblings: `crate::a::b` in the module `a::c` is an import of `b` by `c`
    /// below `a`. Imports between a module and its own submodules are left out.
    pub(crate) fn imports(&self) -> Imports {
        let aliases = self.aliases();
        let mut imports = Imports::new();
        for (module, code) in &self.0 {
            for path in paths(code, module) {
                let target = self.module_of(&path, &aliases);
                let common = common_length(module, &target);
                if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                    imports
                        .entry(module[..common].to_vec())
                        .or_default()
                        .entry(from.clone())
                        .or_default()
                        .entry(to.clone())
                        .or_insert_with(|| {
                            format!("{} uses {}", module.join("::"), path.join("::"))
                        });
                }
            }
        }
        imports
    }

    /// The paths of items that modules import, and what the paths lead to. Other modules can use
    /// re-exports, and submodules also private imports.
    fn aliases(&self) -> BTreeMap<ModulePath, ModulePath> {
        let mut aliases = BTreeMap::new();
        for (module, code) in &self.0 {
            for declaration in code.split(';') {
                let Some((visibility, tree)) = declaration.rsplit_once("use ") else {
                    continue;
                };
                if !visibility.is_empty() && !visibility.ends_with([' ', '\n']) {
                    continue;
                }
                for (name, path) in expand(tree) {
                    let target = match path.first().map(String::as_str) {
                        Some("crate" | "super" | "self") => resolve(module, &path),
                        // A submodule; otherwise another crate.
                        _ => Some([module.as_slice(), &path].concat()).filter(|path| {
                            path.get(..=module.len())
                                .is_some_and(|child| self.0.contains_key(child))
                        }),
                    };
                    let alias = [module.as_slice(), &[name]].concat();
                    // A function can have the name of its module.
                    if !self.0.contains_key(&alias) {
                        aliases.extend(target.map(|target| (alias, target)));
                    }
                }
            }
        }
        aliases
    }

    /// The module that has the item.
    fn module_of(&self, path: &[String], aliases: &BTreeMap<ModulePath, ModulePath>) -> ModulePath {
        let (mut path, mut visited) = (path.to_vec(), BTreeSet::new());
        while visited.insert(path.clone()) {
            let target = (1..=path.len()).find_map(|length| {
                let target = aliases.get(&path[..length])?;
                Some([target.as_slice(), &path[length..]].concat())
            });
            path = target.unwrap_or(path);
        }
        while !self.0.contains_key(&path) {
            path.pop();
        }
        path
    }
}

fn common_length(one: &[String], other: &[String]) -> usize {
    one.iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count()
}

/// Reads the modules below a folder. `lib.rs` is the root of a library, and `main.rs` that of a
/// program.
fn collect(folder: &Path, path: &mut ModulePath, modules: &mut BTreeMap<ModulePath, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let file = entry.expect("an entry").path();
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        if matches!(&*name, "tests" | "bin") {
            continue;
        }
        if file.is_dir() {
            path.push(name.into_owned());
            collect(&file, path, modules);
            path.pop();
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&file).expect("a source file");
            let code = without_tests_and_comments(&text);
            if path.is_empty() && matches!(&*name, "lib" | "main") {
                *modules.entry(Vec::new()).or_default() += &code;
            } else {
                modules.insert([path.as_slice(), &[name.into_owned()]].concat(), code);
            }
        }
    }
}

fn without_tests_and_comments(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every `crate::` and `super::` path in the code of a module, with its braces expanded.
fn paths(code: &str, module: &[String]) -> Vec<ModulePath> {
    let mut paths = Vec::new();
    for root in ["crate::", "super::"] {
        for (start, _) in code.match_indices(root) {
            let before = &code[..start];
            let continues_a_path =
                before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$'));
            if !continues_a_path && !before.ends_with("in ") {
                let tree = expand(&code[start..]).into_iter();
                paths.extend(tree.filter_map(|(_, path)| resolve(module, &path)));
            }
        }
    }
    paths
}

/// The paths of a use tree, such as `a::{b, c::d as e}`, each with the name that it introduces.
/// Text after the tree is ignored.
fn expand(tree: &str) -> Vec<(String, ModulePath)> {
    let mut found = Vec::new();
    expand_below(&mut { tree }, &[], &mut found);
    found
}

fn expand_below(rest: &mut &str, base: &[String], found: &mut Vec<(String, ModulePath)>) {
    let mut path = base.to_vec();
    loop {
        *rest = rest.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            *rest = group;
            while !rest.is_empty() && !rest.starts_with('}') {
                let length = rest.len();
                expand_below(rest, &path, found);
                *rest = rest.trim_start().trim_start_matches(',').trim_start();
                if rest.len() == length {
                    break;
                }
            }
            *rest = rest.strip_prefix('}').unwrap_or(rest);
            return;
        }
        let segment = take_name(rest);
        if segment != "self" || path.is_empty() {
            path.extend((!segment.is_empty()).then(|| segment.to_owned()));
        }
        match rest.strip_prefix("::") {
            Some(after) if !segment.is_empty() => *rest = after,
            _ => break,
        }
    }
    *rest = rest.strip_prefix('*').unwrap_or(rest);
    let mut name = path.last().cloned().unwrap_or_default();
    if let Some(after) = rest.strip_prefix(" as ") {
        *rest = after;
        take_name(rest).clone_into(&mut name);
    }
    found.push((name, path));
}

/// Removes a name from the front of the text.
fn take_name<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    *rest = after;
    name
}

/// The path from the root, for a path in this module that starts with `crate`, `super` or `self`.
fn resolve(module: &[String], path: &[String]) -> Option<ModulePath> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        _ => {
            let supers = path
                .iter()
                .take_while(|segment| *segment == "super")
                .count();
            let parent = module.get(..module.len().checked_sub(supers)?)?;
            Some([parent, &path[supers..]].concat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ModulePath {
        text.split("::")
            .filter(|segment| !segment.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn sources(modules: &[(&str, &str)]) -> Sources {
        let modules = modules
            .iter()
            .map(|(module, code)| (path(module), without_tests_and_comments(code)));
        Sources(modules.collect())
    }

    /// The imports, as `parent: from -> to`.
    fn imports(modules: &[(&str, &str)]) -> Vec<String> {
        let mut found = Vec::new();
        for (parent, imports) in sources(modules).imports() {
            for (from, imported) in imports {
                for to in imported.keys() {
                    found.push(format!("{}: {from} -> {to}", parent.join("::")));
                }
            }
        }
        found
    }

    #[test]
    fn paths_are_found_in_declarations_and_in_code() {
        let code = "use crate::a::{self, b::{C, D as E}, f};\nlet x = super::g::H::i(1);\n\
                    pub(in crate::j) fn k() {} // crate::l\nuse crate::m::*;";
        let paths: BTreeSet<_> = paths(&without_tests_and_comments(code), &path("n::o"))
            .into_iter()
            .collect();
        let expected = ["a", "a::b::C", "a::b::D", "a::f", "n::g::H::i", "m"];
        assert_eq!(paths, expected.map(path).into());
    }

    #[test]
    fn an_import_is_one_between_siblings() {
        let modules = [
            ("", ""),
            ("a", "use crate::b::c::X;\nmod d;"),
            ("a::d", "use super::Y;\nuse crate::a::e::Z;"),
            ("a::e", ""),
            ("b", ""),
            ("b::c", "#[cfg(test)]\nmod tests {\n use crate::a::Y;\n}"),
        ];
        assert_eq!(imports(&modules), [": a -> b", "a: d -> e"]);
    }

    #[test]
    fn an_import_of_a_reexport_is_one_of_the_module_with_the_item() {
        let modules = [
            ("", ""),
            (
                "a",
                "pub use b::{self, X as Y};\npub(crate) use self::c::Z;",
            ),
            ("a::b", "use super::Z;"),
            ("a::c", "use crate::a::Y;"),
        ];
        assert_eq!(imports(&modules), ["a: b -> c", "a: c -> b"]);
    }
}
