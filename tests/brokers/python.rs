//! What Python's package index ships: client libraries, and programs of versions that the system does not have.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A Python with packages of its own, in a virtual environment below `target/` that is made once.
#[derive(Debug, Clone)]
pub(crate) struct Python {
    environment: PathBuf,
}

impl Python {
    /// One with these packages, each as in `pika==1.3.2`.
    ///
    /// # Panics
    ///
    /// When there is no Python with `venv`, or the packages cannot be installed.
    pub(crate) fn with(packages: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let environment = folder.join(packages.join("+"));
        if !environment.exists() {
            fs::create_dir_all(&folder).expect("target/ can be written");
            // Somebody else may be making it, too. It is whole when it has its name.
            let made = tempfile::tempdir_in(&folder).expect("target/ can be written");
            install(&made.path().join("made"), packages);
            let renamed = fs::rename(made.path().join("made"), &environment);
            assert!(environment.exists(), "{renamed:?}");
        }
        Self { environment }
    }

    /// The command that runs it.
    pub(crate) fn command(&self) -> Command {
        Command::new(self.environment.join("bin/python"))
    }

    /// A file that its packages have brought, by its name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        find(&self.environment, name)
            .unwrap_or_else(|| panic!("there is no {name} in {}", self.environment.display()))
    }
}

fn install(environment: &Path, packages: &[&str]) {
    let make = |python: &str| {
        let made = Command::new(python).args(["-m", "venv"]).arg(environment).output();
        made.is_ok_and(|output| output.status.success())
    };
    assert!(
        ["python3", "/usr/bin/python3"].into_iter().any(make),
        "there is no python3 with `venv`; `tests/run` installs it"
    );
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    succeeds(pip.output().expect("the environment has a Python"));
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut folders = Vec::new();
    for entry in entries {
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            folders.push(entry.path());
        } else if kind.is_file() && entry.file_name() == name {
            return Some(entry.path());
        }
    }
    folders.iter().find_map(|folder| find(folder, name))
}

/// Sees to it that a command did what it should.
pub(crate) fn succeeds(output: Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
