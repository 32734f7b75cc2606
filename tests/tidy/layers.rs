//! The layers of `src/`: which folders there are, and what each may import.

use crate::source::Source;

/// A folder of `src/`, and the folders that its files may name.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) may_import: &'static [&'static str],
}

/// From the ground up: a layer imports only from layers above it in this list.
///
/// `xtree` is written on the public API: it names what the crate root exports, and no layer. `ffi`
/// is as well, but for blocks one by one and for roots without Rust types. `bin` looks into images,
/// and so at the layers that say what lies in them; never at those that run a heap.
pub(crate) const LAYERS: [Layer; 13] = [
    Layer { name: "base", may_import: &[] },
    Layer { name: "os", may_import: &["base"] },
    Layer { name: "cow", may_import: &["base", "os"] },
    Layer { name: "arena", may_import: &["base", "os", "cow"] },
    Layer { name: "heap", may_import: &["base", "os", "cow", "arena"] },
    Layer { name: "image", may_import: &["base", "os"] },
    Layer { name: "snapshot", may_import: &["base", "os", "arena", "cow", "image"] },
    Layer { name: "trace", may_import: &["base", "os", "arena", "heap", "image"] },
    Layer {
        name: "runtime",
        may_import: &["base", "os", "arena", "cow", "heap", "image", "snapshot", "trace"],
    },
    Layer { name: "typed", may_import: &["base", "trace", "runtime"] },
    Layer { name: "xtree", may_import: PUBLIC_API },
    Layer { name: "ffi", may_import: &["runtime", "typed", PUBLIC_API[0]] },
    Layer {
        name: "bin",
        may_import: &[
            "base",
            "os",
            "arena",
            "heap",
            "image",
            "snapshot",
            "trace",
            "typed",
            PUBLIC_API[0],
        ],
    },
];

/// Stands for what the crate root exports.
const PUBLIC_API: &[&str] = &["crate root"];

/// What is wrong with the imports of one file.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in source.code.match_indices("super::super::") {
        found.push(source.complain(at, "`super::super::`: name the path from `crate`"));
    }
    if !source.path.starts_with("src/") || source.path == "src/lib.rs" {
        return found;
    }
    let Some(name) = source.layer() else {
        found.push(format!("{}: a file of src/ that is in no layer", source.path));
        return found;
    };
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
        found.push(format!("{}: src/{name} is not in the layer table", source.path));
        return found;
    };
    for (at, import) in imports(source) {
        if !may_import(layer, &import) {
            found.push(source.complain(at, format!("`{name}` may not import `{import}`")));
        }
    }
    found
}

fn may_import(layer: &Layer, import: &str) -> bool {
    let is_layer = LAYERS.iter().any(|other| other.name == import);
    let wanted = if is_layer { import } else { PUBLIC_API[0] };
    import == layer.name || layer.may_import.contains(&wanted)
}

/// The first parts of all paths that start at the crate root, with their offsets.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut starts: Vec<usize> = Vec::new();
    for root in ["crate::", "stillheap::"] {
        let own = code.match_indices(root).filter(|&(at, _)| starts_a_path(&code[..at]));
        starts.extend(own.map(|(at, _)| at + root.len()));
    }
    if is_door(&source.path) {
        // In a layer's door `super` is the crate root, outside its inline modules.
        let inline = source.inline_modules();
        let supers = code.match_indices("super::").map(|(at, _)| at);
        let outer = supers.filter(|at| !inline.iter().any(|part| part.contains(at)));
        starts.extend(outer.map(|at| at + "super::".len()));
    }
    starts
        .into_iter()
        .flat_map(|at| first_parts(&code[at..]).into_iter().map(move |part| (at, part)))
        .collect()
}

fn starts_a_path(before: &str) -> bool {
    !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Whether the file is the `mod.rs` of a layer.
fn is_door(path: &str) -> bool {
    path.strip_suffix("/mod.rs").is_some_and(|folder| folder.matches('/').count() == 1)
}

/// `a::b` gives a; `{a::{b, c}, d}` gives a and d.
fn first_parts(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.trim_start().strip_prefix('{') else {
        let first = name(rest);
        return vec![if first.is_empty() { "*".to_owned() } else { first }];
    };
    let mut parts = Vec::new();
    let mut depth = 0_usize;
    let mut expected = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' => expected = depth == 0,
            c if expected && depth == 0 && !c.is_whitespace() => {
                parts.push(name(&group[at..]));
                expected = false;
            }
            _ => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn the_table_goes_upwards_only() {
        for (index, layer) in LAYERS.iter().enumerate() {
            for import in layer.may_import.iter().filter(|import| **import != PUBLIC_API[0]) {
                let below = LAYERS[..index].iter().any(|lower| lower.name == *import);
                assert!(below, "{} imports {import}", layer.name);
            }
        }
        let may = |from: &str, to: &str| {
            may_import(LAYERS.iter().find(|l| l.name == from).expect("a layer"), to)
        };
        assert!(!may("heap", "image") && !may("image", "heap") && !may("snapshot", "heap"));
    }

    #[test]
    fn an_upward_import_is_found_in_every_form() {
        for text in [
            "use crate::heap::Heap;",
            "use crate::{base::X, heap::{A, B}, os};",
            "use crate::{\n    base::{A, B},\n    heap,\n};",
            "fn f() { crate::heap::go(); }",
            "fn f() -> $crate::heap::X {}",
            "pub(in crate::heap) fn f() {}",
            "use stillheap::heap::Heap;",
            "use crate::Heap;",
            "use crate::*;",
        ] {
            assert_eq!(complaints("src/snapshot/save.rs", text), 1, "{text}");
        }
        assert_eq!(complaints("src/snapshot/mod.rs", "use super::heap::Heap;"), 1);
        assert_eq!(complaints("src/snapshot/mod.rs", "fn f() { super::heap::go(); }"), 1);
    }

    #[test]
    fn allowed_imports_pass() {
        let text = "use crate::{base::{A, B}, image, snapshot::c};\n// crate::heap\nuse super::d;";
        assert_eq!(complaints("src/snapshot/save.rs", text), 0);
        let door = "use crate::os;\nmod tests {\n    use super::heap;\n}";
        assert_eq!(complaints("src/snapshot/mod.rs", door), 0);
        assert_eq!(complaints("src/lib.rs", "pub use crate::typed::Root;"), 0);
    }

    #[test]
    fn the_tree_uses_the_public_api_only() {
        let names = "use crate::{Durable, Tracked};\nuse crate::xtree::node::Node;";
        assert_eq!(complaints("src/xtree/tree.rs", names), 0);
        assert_eq!(complaints("src/xtree/tree.rs", "use crate::typed::Tracked;"), 1);
        assert_eq!(complaints("src/xtree/tree.rs", "use crate::{Durable, base::PAGE_SIZE};"), 1);
    }

    #[test]
    fn unknown_folders_and_long_ways_up_are_found() {
        assert_eq!(complaints("src/misc/a.rs", ""), 1);
        assert_eq!(complaints("src/error.rs", ""), 1);
        assert_eq!(complaints("src/heap/slab.rs", "use super::super::os::map;"), 1);
        assert_eq!(complaints("tests/a.rs", "use super::super::b;"), 1);
    }
}
