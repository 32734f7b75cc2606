//! Schemas: what the derive says of a type, what differs between two, what is refused.
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "types are described, not used")]

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::marker::PhantomData;
use std::mem::offset_of;
use std::rc::{Rc, Weak};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use stillheap::XTree;
use stillheap::typed::{
    Durable, Interior, Kind, Link, RootType, Rows, Schema, SchemaError, Steady, Tracked,
    TypeMismatch,
};

#[derive(Durable)]
struct Unit;

#[derive(Durable)]
struct Pair<A, B>(A, B);

#[derive(Durable, Default)]
struct Db {
    by_name: BTreeMap<String, u64>,
    r#type: u8,
    sizes: [u16; 3],
    at: Option<(f64, f64)>,
}

#[derive(Durable)]
#[repr(u8)]
enum Job {
    Idle = 3,
    Named { name: String, of: u32 },
    Pair(u8, Box<[u8]>),
}

#[derive(Durable)]
enum Never {}

#[derive(Durable)]
struct Generic<K: Ord, V, const N: usize>
where
    V: Clone,
{
    map: BTreeMap<K, [V; N]>,
}

#[derive(Durable)]
#[durable(bound = "K: Durable + Eq + std::hash::Hash, V: Durable")]
struct OwnBounds<K, V> {
    map: HashMap<K, V>,
}

#[derive(Durable)]
#[durable(name = "elsewhere::Moved")]
struct Moved(u8);

#[derive(Durable)]
struct List {
    next: Option<Box<Self>>,
    value: u32,
}

#[derive(Durable)]
struct Tree<T>(T, Vec<Tree<T>>);

#[derive(Durable)]
struct Expression {
    statements: Vec<Statement>,
}

#[derive(Durable)]
struct Statement {
    expression: Option<Box<Expression>>,
}

#[derive(Durable)]
struct SharedTree {
    children: Vec<Rc<SharedTree>>,
    parent: Weak<SharedTree>,
    hits: AtomicU64,
}

#[derive(Durable)]
struct Ping(Option<Rc<Pong>>);

#[derive(Durable)]
struct Pong(#[durable(recursive)] Option<Rc<Ping>>);

mod renamed {
    pub(crate) use stillheap as another_name;

    #[derive(stillheap::typed::Durable)]
    #[durable(crate = "crate::renamed::another_name")]
    pub(crate) struct Inside(pub(crate) u8);
}

fn steady<T: Steady>() {}

fn text<T: Durable>() -> String {
    let text = Schema::of::<T>().to_string();
    text.split_once("\nlaid out by rustc ").map_or(text.clone(), |(types, _)| types.to_owned())
}

#[test]
fn schemas_read_like_rust() {
    let [name, kind, sizes, at] = [
        offset_of!(Db, by_name),
        offset_of!(Db, r#type),
        offset_of!(Db, sizes),
        offset_of!(Db, at),
    ];
    let expected = format!(
        "root Db\n\nstruct Db {{ // durable_schema::Db: {} bytes, aligned to 8\n    \
         by_name: BTreeMap<String, u64>, // at {name}\n    type: u8, // at {kind}\n    \
         sizes: [u16; 3], // at {sizes}\n    at: Option<(f64, f64)>, // at {at}\n}}\n",
        size_of::<Db>()
    );
    assert_eq!(text::<Db>(), expected);
    let expected = format!(
        "root Job\n\n#[repr(u8)]\nenum Job {{ // durable_schema::Job: {} bytes, aligned to 8\n    \
         Idle = 3,\n    Named {{ name: String, of: u32 }} = 4,\n    \
         Pair {{ 0: u8, 1: Box<[u8]> }} = 5,\n}}\n",
        size_of::<Job>()
    );
    assert_eq!(text::<Job>(), expected);
}

#[test]
fn names_carry_parameters() {
    let name = |schema: Schema| schema.name();
    assert_eq!(name(Schema::of::<Pair<u8, Option<String>>>()), "Pair<u8, Option<String>>");
    assert_eq!(name(Schema::of::<Generic<u8, String, 4>>()), "Generic<u8, String, 4>");
    assert_eq!(name(Schema::of::<Tree<(u8,)>>()), "Tree<(u8,)>");
    assert_eq!(name(Schema::of::<Arc<[Cow<'static, str>]>>()), "Arc<[Cow<str>]>");
    assert_eq!(name(Schema::of::<HashSet<()>>()), "HashSet<(), RandomState>");
    assert_eq!(Schema::of::<Moved>().root().name, "elsewhere::Moved");
    assert_eq!(Schema::of::<renamed::Inside>().root().name, "durable_schema::renamed::Inside");
    assert!(matches!(Schema::of::<Unit>().root().kind, Kind::Struct(_)));
    assert!(matches!(Schema::of::<Never>().root().kind, Kind::Enum { .. }));
    assert!(RootType::of::<OwnBounds<u8, u8>>().is_ok());
}

#[test]
fn only_chosen_layouts_hang_on_the_compiler() {
    assert_eq!(Schema::of::<Pair<u8, u32>>().compiler(), "");
    assert!(Schema::of::<Option<u8>>().compiler().starts_with("rustc "));
    assert!(Schema::of::<Db>().compiler().contains("commit "));
}

#[test]
fn recursive_types_end_and_may_be_shared() {
    assert_eq!(Schema::of::<List>().types().count(), 4);
    assert_eq!(Schema::of::<Expression>().types().count(), 5);
    assert_eq!(RootType::of::<SharedTree>().unwrap().interior, Interior::Atomics);
    RootType::of::<Rc<SharedTree>>().unwrap();
    RootType::of::<Ping>().unwrap();
    steady::<(List, Tree<u8>, Db, Job, Ping, Pong, Never)>();
}

#[test]
fn links_and_cells_are_told_for_the_whole_graph() {
    let told = |of: RootType| (of.link, of.interior);
    let of = RootType::of::<Vec<Option<HashMap<u8, Cell<u8>>>>>().unwrap();
    assert_eq!(told(of), (Link::Refreshable, Interior::Cells));
    let of = RootType::of::<BTreeMap<Arc<str>, Mutex<Cow<'static, str>>>>().unwrap();
    assert_eq!(told(of), (Link::Pinned, Interior::Cells));
    let of = RootType::of::<(String, PhantomData<Cell<u8>>)>().unwrap();
    assert_eq!(told(of), (Link::None, Interior::None));
}

#[derive(Durable)]
struct HidesACell {
    #[durable(recursive)]
    count: Option<Cell<u32>>,
}

#[derive(Durable, Clone, Default)]
struct LinkedHasher(Cow<'static, str>);

impl BuildHasher for LinkedHasher {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }
}

#[test]
fn what_the_traits_cannot_see_the_schema_refuses() {
    let error = RootType::of::<Vec<Rc<HidesACell>>>().unwrap_err();
    let expected = SchemaError::SharedCell {
        path: "Vec.element.value.count.value".to_owned(),
        shared: "Rc<HidesACell>".to_owned(),
        cell: "Cell<u32>".to_owned(),
    };
    assert_eq!(error, expected);
    assert!(RootType::of::<Vec<HidesACell>>().is_ok());
    let error = RootType::of::<HashMap<u8, u8, LinkedHasher>>().unwrap_err();
    assert!(matches!(error, SchemaError::LinkedHasher { .. }), "{error}");
    let error = RootType::of::<Cow<'static, [Arc<str>]>>().unwrap_err();
    assert!(matches!(error, SchemaError::LinkedSlice { .. }), "{error}");
}

mod before {
    use super::*;

    #[derive(Durable)]
    #[durable(name = "Db")]
    pub(crate) struct Db {
        pub(crate) count: u32,
        pub(crate) names: Vec<String>,
        pub(crate) old: u8,
        pub(crate) kind: Kind,
    }

    #[derive(Durable)]
    #[durable(name = "Kind")]
    pub(crate) enum Kind {
        A,
        B(u8),
        Gone,
    }

    #[derive(Durable)]
    #[durable(name = "Order")]
    #[repr(C)]
    pub(crate) struct Order {
        pub(crate) a: u32,
        pub(crate) b: u32,
    }

    #[derive(Durable)]
    #[durable(name = "Big")]
    pub(crate) struct Big(pub(crate) u8);
}

mod after {
    use super::*;

    #[derive(Durable)]
    #[durable(name = "Db")]
    pub(crate) struct Db {
        pub(crate) count: u64,
        pub(crate) names: Vec<Box<str>>,
        pub(crate) kind: Kind,
        pub(crate) new: [u8; 4],
    }

    #[derive(Durable)]
    #[durable(name = "Kind")]
    pub(crate) enum Kind {
        B(u8),
        A(u16),
    }

    #[derive(Durable)]
    #[durable(name = "Order")]
    #[repr(C)]
    pub(crate) struct Order {
        pub(crate) b: u32,
        pub(crate) a: u32,
    }

    #[derive(Durable)]
    #[durable(name = "Big")]
    #[repr(align(16))]
    pub(crate) struct Big(pub(crate) u8);
}

fn mismatch<A: Durable, B: Durable>() -> String {
    TypeMismatch::between(&Schema::of::<A>(), &Schema::of::<B>()).to_string()
}

#[test]
fn a_mismatch_shows_each_field() {
    let text = mismatch::<before::Db, after::Db>();
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "the stored type `Db` is not the program's `Db`:",
        "  Db.old: stored `u8`, in this program no such field",
        "  Db.new: stored no such field, in this program `[u8; 4]`",
        "  Db.count: stored `u32`, in this program `u64`",
        "  Db.kind.A: stored discriminant 0, in this program discriminant 1",
        "  Db.kind.A: stored with the fields (), in this program with the fields (0)",
        "  Db.kind.B: stored discriminant 1, in this program discriminant 0",
        "  Db.kind.Gone: stored a variant, in this program no such variant",
        "  Db.names.element: stored `String`, in this program `Box<str>`",
    ];
    assert_eq!(lines[..expected.len()], expected);
    assert_eq!(lines.len(), expected.len() + 1, "and the way out");
}

#[test]
fn offsets_and_sizes_are_shown_where_they_are_the_only_difference() {
    let text = mismatch::<before::Order, after::Order>();
    assert!(text.contains("Order.a: stored at offset 0, in this program at offset 4"), "{text}");
    assert!(text.contains("with the fields a, b, in this program with the fields b, a"), "{text}");
    let text = mismatch::<before::Big, after::Big>();
    let expected = "Big: stored 1 bytes aligned to 1, in this program 16 bytes aligned to 16";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn every_other_difference_is_shown_as_well() {
    let text = mismatch::<[u8; 3], [u8; 4]>();
    assert!(text.contains("array: stored `[u8; 3]`, in this program `[u8; 4]`"), "{text}");
    let text = mismatch::<renamed::Inside, Moved>();
    assert!(text.contains("Moved: stored `Inside`, in this program `Moved`"), "{text}");
    type Default2 = BuildHasherDefault<std::collections::hash_map::DefaultHasher>;
    let text = mismatch::<HashMap<u8, u8>, HashMap<u8, u8, Default2>>();
    assert!(text.contains("HashMap.hasher: stored `RandomState`"), "{text}");
    assert!(RootType::of::<Db>().unwrap().accepts(&Schema::of::<Db>()).is_ok());
    assert!(RootType::of::<Db>().unwrap().accepts(&Schema::of::<Job>()).is_err());
}

#[test]
fn interior_mutability_does_not_hide_behind_a_root() {
    assert!(RootType::of::<RefCell<Rc<u8>>>().is_ok());
    assert_eq!(RootType::of::<RefCell<u8>>().unwrap().interior, Interior::Cells);
}

/// What tracked memory holds is seen, and must not change without an announcement.
#[test]
fn tracked_memory_holds_nothing_that_changes_unannounced() {
    fn refused<T: Durable>() -> SchemaError {
        RootType::of::<T>().expect_err("it can change through a shared reference")
    }
    let error = refused::<Tracked<Pair<u8, Option<AtomicU64>>>>();
    let SchemaError::TrackedCell { path, tracked, cell } = &error else { panic!("{error}") };
    assert_eq!((path.as_str(), cell.as_str()), ("Tracked.value.1.value", "AtomicU64"));
    assert!(tracked.contains("Tracked"), "{tracked}");
    for error in [
        refused::<Tracked<[RefCell<u8>; 2]>>(),
        refused::<Rows<f64, Cell<u8>>>(),
        refused::<XTree<2, Mutex<u8>>>(),
        refused::<Vec<Tracked<Cell<u8>>>>(),
    ] {
        assert!(matches!(error, SchemaError::TrackedCell { .. }), "{error}");
    }
    RootType::of::<Tracked<Box<AtomicU64>>>().expect("it lies elsewhere");
    RootType::of::<Tracked<(Vec<Cell<u8>>, Arc<str>)>>().expect("they lie elsewhere");
    let linking = RootType::of::<Tracked<HashMap<u8, u8>>>().expect("a plain map");
    assert_eq!(linking.link, Link::Refreshable, "a restart relinks what is in tracked memory");
}
