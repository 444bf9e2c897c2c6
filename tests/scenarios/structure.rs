//! The layers of the crates: who may import whom.
//!
//! In the core, each folder imports only from those above it in `lib.rs`. In the other crates, no folders import each
//! other in a circle; inside a folder, a few files may.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// How many files of one folder may import each other in a circle.
const SMALL: usize = 6;

#[test]
fn folders_of_the_core_import_only_from_those_above_them() {
    let core = Sources::of("aury-events");
    assert_eq!(core.against_the_order(), [""; 0]);
    assert_eq!(core.large_circles(), [""; 0]);
}

#[test]
fn folders_of_the_other_crates_import_each_other_in_no_circle() {
    for name in ["aury-events-backends", "aury-events-macros"] {
        let sources = Sources::of(name);
        assert_eq!(sources.circles_of_folders(), [""; 0], "{name}");
        assert_eq!(sources.large_circles(), [""; 0], "{name}");
    }
}

#[test]
fn a_planted_import_is_found() {
    for planted in [
        "use crate::manager::EventBusManager;",
        "fn f() { crate::manager::publish(1) }",
        "use super::super::manager::EventBusManager as M;",
        "use crate::{error::Error, EventBusManager};",
        "mod inner { use super::super::super::manager::*; }",
    ] {
        let mut core = Sources::of("aury-events");
        core.plant("declared/event.rs", planted);
        let found = core.against_the_order();
        assert!(!found.is_empty(), "{planted}");
        let is_named = |line: &String| line.starts_with("declared/event.rs imports ");
        assert!(found.iter().all(is_named), "{planted}: {found:?}");
    }
    let mut backends = Sources::of("aury-events-backends");
    backends.plant("envelope/mod.rs", "use crate::memory::MemoryBackend;");
    assert_eq!(backends.circles_of_folders().len(), 1);
}

/// The path of a module from the root of its crate, by segments.
type Module = Vec<String>;

/// The source files of a crate.
struct Sources {
    files: BTreeMap<Module, File>,
    /// The root's modules, in the order in which they are declared.
    order: Vec<String>,
}

struct File {
    /// From the `src` folder.
    path: String,
    text: String,
}

/// What a file names by a path from the root of its crate.
struct Named {
    path: Module,
    /// The name that it has from then on, where it is re-exported.
    as_name: Option<String>,
}

impl Sources {
    fn of(crate_name: &str) -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(crate_name).join("src");
        let mut files = BTreeMap::new();
        add_files(&src, &src, &mut files);
        let root = &files[&Module::new()].text;
        let declared = root.lines().filter_map(|line| {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            line.strip_prefix("mod ")?.strip_suffix(';')
        });
        let order = declared.map(str::to_owned).collect();
        Self { files, order }
    }

    fn plant(&mut self, path: &str, line: &str) {
        let file = self.files.values_mut().find(|file| file.path == path);
        let text = &mut file.expect("the file exists").text;
        text.push_str(line);
    }

    /// Each import of a file from a folder that stands below its own.
    fn against_the_order(&self) -> Vec<String> {
        let place = |module: &Module| {
            let folder = module.first()?;
            self.order.iter().position(|known| known == folder)
        };
        let imports = self.imports();
        let against = imports.iter().flat_map(|(from, targets)| {
            targets.iter().map(move |to| (from, to)).filter(|(from, to)| place(from) < place(to))
        });
        // The root sees everything.
        let against = against.filter(|(from, _)| !from.is_empty());
        against.map(|(from, to)| format!("{} imports {}", self.path(from), self.path(to))).collect()
    }

    /// The circles of imports between folders, and files that stand beside them.
    fn circles_of_folders(&self) -> Vec<String> {
        let mut folders: Graph = Graph::new();
        for (from, targets) in self.imports() {
            let Some(from) = from.first() else { continue };
            let targets = targets.iter().filter_map(|to| to.first()).filter(|to| *to != from);
            let entry = folders.entry(vec![from.clone()]).or_default();
            entry.extend(targets.map(|to| vec![to.clone()]));
        }
        let circles = circles(&folders).into_iter().filter(|circle| circle.len() > 1);
        circles
            .map(|circle| circle.iter().map(|unit| unit.join("::")).collect::<Vec<_>>().join(", "))
            .collect()
    }

    /// The circles of files in one folder that are not small.
    fn large_circles(&self) -> Vec<String> {
        let circles = circles(&self.imports()).into_iter().filter(|circle| circle.len() > SMALL);
        circles
            .map(|circle| circle.iter().map(|file| self.path(file)).collect::<Vec<_>>().join(", "))
            .collect()
    }

    fn path(&self, module: &Module) -> &str {
        &self.files[module].path
    }

    /// For each file, the files that it imports from.
    fn imports(&self) -> Graph {
        let named: BTreeMap<&Module, Vec<Named>> = self
            .files
            .iter()
            .map(|(module, file)| {
                let tokens: TokenStream = file.text.parse().expect("the source is valid");
                let mut named = Vec::new();
                find_names(tokens, module, &mut named);
                (module, named)
            })
            .collect();
        let targets = |(module, names): (&&Module, &Vec<Named>)| {
            // What a module re-exports of its own is no import.
            let own = |named: &&Named| {
                !(named.as_name.is_some()
                    && named.path.len() > module.len()
                    && named.path.starts_with(module))
            };
            let targets = names.iter().filter(own).map(|name| self.resolve(&name.path, &named, 8));
            let others = targets.filter(|target| target != *module);
            ((*module).clone(), others.collect())
        };
        named.iter().map(targets).collect()
    }

    /// The file in which something is defined, re-exports followed.
    fn resolve(
        &self,
        path: &[String],
        named: &BTreeMap<&Module, Vec<Named>>,
        steps: u32,
    ) -> Module {
        let longest = (0..=path.len()).rev().find(|&len| self.files.contains_key(&path[..len]));
        let (module, rest) = path.split_at(longest.expect("the root is a file"));
        let module = module.to_vec();
        let (Some(name), Some(steps)) = (rest.first(), steps.checked_sub(1)) else { return module };
        let exports = named[&module].iter();
        let mut exports = exports.filter(|named| named.as_name.as_ref() == Some(name));
        match exports.next() {
            Some(export) => self.resolve(&export.path, named, steps),
            None => module,
        }
    }
}

fn add_files(src: &Path, folder: &Path, files: &mut BTreeMap<Module, File>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("they can be listed").path();
        if path.is_dir() {
            add_files(src, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("they can be read");
            let path =
                path.strip_prefix(src).expect("it is in there").to_str().expect("it is UTF-8");
            let mut module: Module =
                path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if module.last().is_some_and(|last| last == "mod" || last == "lib") {
                module.pop();
            }
            files.insert(module, File { path: path.to_owned(), text });
        }
    }
}

/// Finds what tokens of a module name by a path that begins with `crate`, `super` or `self`.
fn find_names(tokens: TokenStream, module: &Module, named: &mut Vec<Named>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(ident) if ident == "mod" => {
                if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
                    (tokens.get(at + 1), tokens.get(at + 2))
                {
                    let inner = module.iter().cloned().chain([name.to_string()]).collect();
                    find_names(body.stream(), &inner, named);
                    at += 2;
                }
            }
            TokenTree::Ident(ident) if ident == "use" => {
                let end = tokens[at..].iter().position(|token| is_punct(token, ';'));
                let end = at + end.unwrap_or(tokens.len() - at);
                tree(&tokens[at + 1..end], &Module::new(), module, named);
                at = end;
            }
            TokenTree::Ident(ident)
                if ["crate", "super", "self"].iter().any(|root| ident == root)
                    && tokens.get(at + 1).is_some_and(|token| is_punct(token, ':'))
                    // `$crate` and `a::self` are something else.
                    && !at.checked_sub(1).is_some_and(|before| is_punct(&tokens[before], '$') || is_punct(&tokens[before], ':')) =>
            {
                let mut path = vec![ident.to_string()];
                while let [TokenTree::Punct(_), TokenTree::Punct(_), TokenTree::Ident(next), ..] =
                    &tokens[at + 1..]
                {
                    path.push(next.to_string());
                    at += 3;
                }
                named.extend(absolute(&path, module).map(|path| Named { path, as_name: None }));
            }
            TokenTree::Group(group) => find_names(group.stream(), module, named),
            _ => {}
        }
        at += 1;
    }
}

/// Finds what a tree of imports names.
fn tree(tokens: &[TokenTree], prefix: &Module, module: &Module, named: &mut Vec<Named>) {
    let mut path = prefix.clone();
    let mut as_name = None;
    let mut tokens = tokens.iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "as" => {
                as_name = tokens.next().map(ToString::to_string);
            }
            TokenTree::Ident(ident) => path.push(ident.to_string()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let branches: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in branches.split(|token| is_punct(token, ',')) {
                    if !branch.is_empty() {
                        tree(branch, &path, module, named);
                    }
                }
                return;
            }
            _ => {}
        }
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let as_name = as_name.or_else(|| path.last().cloned());
    named.extend(absolute(&path, module).map(|path| Named { path, as_name }));
}

/// A path from the root of the crate; `None` when it leads to another crate.
fn absolute(path: &[String], module: &Module) -> Option<Module> {
    let mut base = match path.first()?.as_str() {
        "crate" => Module::new(),
        "self" => module.clone(),
        "super" => module[..module.len().saturating_sub(1)].to_vec(),
        _ => return None,
    };
    for segment in &path[1..] {
        match segment.as_str() {
            "super" => drop(base.pop()),
            _ => base.push(segment.clone()),
        }
    }
    Some(base)
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// The sets of nodes that reach each other.
fn circles(graph: &Graph) -> BTreeSet<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        graph.keys().map(|node| (node, reached_from(node, graph))).collect();
    let circle = |node: &Module| {
        let others = reached[node]
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(node)));
        others.map(|other| (*other).clone()).collect::<BTreeSet<_>>()
    };
    graph.keys().map(circle).filter(|circle| !circle.is_empty()).collect()
}

fn reached_from<'a>(node: &Module, graph: &'a Graph) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = graph[node].iter().collect();
    while let Some(node) = next.pop() {
        if reached.insert(node) {
            next.extend(graph.get(node).into_iter().flatten());
        }
    }
    reached
}
