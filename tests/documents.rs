//! What documents say about the code is so: the table of the environment is that of the settings' declarations.

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words in backticks that look like files or folders.
fn files_named_in(document: &str) -> Vec<String> {
    let words = document.split('`').skip(1).step_by(2);
    let looks_like_a_file = |word: &&str| {
        let ends = [".rs", ".md", ".toml", ".lua", "/"];
        let is_path = ends.iter().any(|end| word.ends_with(end)) || *word == "tests/run";
        is_path && (word.contains('/') || *word == "deny.toml")
    };
    words.filter(looks_like_a_file).map(str::to_owned).collect()
}

#[test]
fn every_file_that_the_documents_name_exists() {
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let named = files_named_in(&read(document));
        assert!(named.len() >= 5, "{document} names {named:?}");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        // Folders of a crate are named within it.
        let crates = ["", "aury-events/src", "aury-events-backends/src", "aury-events-macros/src"];
        let exists = |name: &str| crates.iter().any(|base| root.join(base).join(name).exists());
        let missing: Vec<_> = named.iter().filter(|name| !exists(name)).collect();
        assert!(missing.is_empty(), "{document} names {missing:?}");
    }
}

/// The table names the settings of all backends of this project, so it needs all of them.
#[cfg(all(feature = "redis", feature = "rabbitmq"))]
mod environment {
    use std::collections::BTreeMap;

    use aury_events::backends::{
        BackendFactory,
        config::{AnySetting, COMMON, Common},
    };

    use super::read;

    /// The line of a setting in the table. Those of a backend's own say whose they are.
    fn row(setting: &dyn AnySetting, owners: &[&str]) -> String {
        let owners =
            if owners.is_empty() { String::new() } else { format!(" ({})", owners.join(", ")) };
        let (name, default) = (setting.name(), setting.shown_default());
        format!("| `{name}` | {default} | {}{owners} |", setting.meaning())
    }

    #[test]
    fn the_table_of_the_environment_is_what_the_backends_declare() {
        // Those of this project. `loopback` stands for others.
        let backends = BackendFactory::all().into_iter().filter(|it| it.name() != "loopback");
        let mut own: BTreeMap<&str, (&dyn AnySetting, Vec<&str>)> = BTreeMap::new();
        for backend in backends {
            for &setting in backend.own_settings() {
                own.entry(setting.name()).or_insert((setting, Vec::new())).1.push(backend.name());
            }
        }
        let common = COMMON.iter().map(Common::setting).map(|setting| row(setting, &[]));
        let own = own.into_values().map(|(setting, owners)| row(setting, &owners));
        let expected: Vec<_> = common.chain(own).collect();

        let manual = read("aury-events/src/config/environment.md");
        let (_, table) = manual.split_once("| `URL` |").expect("it names the URL");
        let table: Vec<_> =
            table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
        assert_eq!(table, expected, "the table has to be:\n{}\n", expected.join("\n"));
    }
}
