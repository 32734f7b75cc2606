//! The programs: which version, and how they are built.

use crate::shared::{Arguments, Error};

/// A program on crates.io. The package holds its `Cargo.lock`, so that it is the same each time.
pub(crate) struct Program {
    /// By which it is reported.
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    /// The file of its `main`, in the package.
    pub(crate) main: &'static str,
    /// The program's file.
    pub(crate) file: &'static str,
    /// For cargo. They leave out what would be an allocator of its own.
    pub(crate) features: &'static [&'static str],
}

const CATALOG: [Program; 4] = [
    Program {
        name: "ripgrep",
        package: "ripgrep",
        version: "15.2.0",
        main: "crates/core/main.rs",
        file: "rg",
        features: &[],
    },
    Program {
        name: "fd",
        package: "fd-find",
        version: "10.5.0",
        main: "src/main.rs",
        file: "fd",
        features: &["--no-default-features", "--features", "completions"],
    },
    Program {
        name: "bat",
        package: "bat",
        version: "0.26.1",
        main: "src/bin/bat/main.rs",
        file: "bat",
        features: &[],
    },
    Program {
        name: "jaq",
        package: "jaq",
        version: "3.1.2",
        main: "src/main.rs",
        file: "jaq",
        features: &["--no-default-features"],
    },
];

/// Those that `--only` names; without it all.
pub(crate) fn wanted(arguments: &Arguments) -> Result<Vec<Program>, Error> {
    let names = arguments.after("--only").into_iter().flat_map(|names| names.split(','));
    for name in names {
        if CATALOG.iter().all(|program| program.name != name) {
            let known = CATALOG.map(|program| program.name).join(", ");
            return Err(format!("--only {name}: there are {known}").into());
        }
    }
    Ok(CATALOG.into_iter().filter(|program| arguments.wants(program.name)).collect())
}
