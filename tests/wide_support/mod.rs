//! One of each kind of value that has pointers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::sync::Arc;
use stillheap::{Durable, Tracked, XTree};

#[derive(Durable, Default)]
pub(crate) struct Wide {
    strings: Vec<String>,
    tree: BTreeMap<String, Vec<u32>>,
    set: BTreeSet<Box<str>>,
    table: HashMap<u64, String>,
    empty: HashMap<u64, String>,
    names: HashSet<String>,
    ring: VecDeque<Box<u64>>,
    list: LinkedList<String>,
    heap: BinaryHeap<Box<u32>>,
    nested: Option<Box<Wide>>,
    shared: Vec<Arc<String>>,
    atomic: Vec<Arc<[u64]>>,
    places: XTree<2, String>,
    large: Vec<u64>,
    tracked: Vec<Tracked<[u64; 700]>>,
    borrowed: Vec<Cow<'static, str>>,
}

/// A text of its own for each number, of many lengths.
pub(crate) fn text(number: u64) -> String {
    format!("{number:0width$}", width = 5 + usize::try_from(number % 90).expect("small"))
}

impl Wide {
    /// Numbers and texts from `from` on, and as much again within, `depth` times.
    pub(crate) fn of(from: u64, depth: u32) -> Self {
        let numbers = from..from + 300;
        let shared = Arc::new(text(from));
        let mut places = XTree::new();
        for number in numbers.clone() {
            places
                .insert([number as f64, (number * 7 % 300) as f64], text(number))
                .expect("a place");
        }
        Self {
            strings: numbers.clone().map(text).collect(),
            tree: numbers.clone().map(|n| (text(n), vec![0; (n % 40) as usize])).collect(),
            set: numbers.clone().map(|n| text(n).into()).collect(),
            table: numbers.clone().map(|n| (n, text(n))).collect(),
            empty: HashMap::new(),
            names: numbers.clone().map(text).collect(),
            ring: numbers.clone().map(Box::new).collect(),
            list: numbers.clone().map(text).collect(),
            heap: (0..300).map(Box::new).collect(),
            nested: (depth > 0).then(|| Box::new(Self::of(from + 1000, depth - 1))),
            shared: vec![Arc::clone(&shared), shared],
            atomic: vec![numbers.clone().collect(); 3],
            places,
            large: (0..500_000).map(|n| n + from).collect(),
            tracked: numbers.take(5).map(|n| Tracked::new([n; 700])).collect(),
            borrowed: vec!["borrowed".into(), text(from).into()],
        }
    }

    /// That all of it is as it was made.
    #[allow(dead_code, reason = "not every test program uses all helpers")]
    pub(crate) fn check(&self, from: u64, depth: u32) {
        let numbers = from..from + 300;
        assert!(self.strings.iter().cloned().eq(numbers.clone().map(text)));
        assert_eq!(self.tree.len(), 300);
        for (key, value) in &self.tree {
            let number: u64 = key.parse().expect("a number");
            assert!(numbers.contains(&number) && value.iter().all(|&zero| zero == 0));
            assert_eq!(value.len() as u64, number % 40);
        }
        assert!(numbers.clone().all(|n| self.set.contains(text(n).as_str())));
        assert!(numbers.clone().all(|n| self.table[&n] == text(n)));
        assert!(self.empty.is_empty() && self.borrowed == ["borrowed", &text(from)]);
        assert!(numbers.clone().all(|n| self.names.contains(&text(n))));
        assert!(self.ring.iter().map(|number| **number).eq(numbers.clone()));
        assert!(self.list.iter().cloned().eq(numbers.clone().map(text)));
        assert_eq!(self.heap.peek().map(|greatest| **greatest), Some(299));
        assert!(self.shared.iter().all(|shared| **shared == text(from)));
        assert!(self.atomic.iter().all(|atomic| atomic.iter().copied().eq(numbers.clone())));
        self.places.validate().expect("a sound tree");
        assert!(numbers.clone().all(|n| {
            let at = [n as f64, (n * 7 % 300) as f64];
            self.places.nearest(at, 1).first().is_some_and(|found| *found.value == text(n))
        }));
        assert!(self.large.iter().enumerate().all(|(place, n)| *n == place as u64 + from));
        assert!(self.tracked.iter().zip(numbers).all(|(page, n)| page.iter().all(|&w| w == n)));
        assert_eq!(self.nested.is_some(), depth > 0);
        if let Some(nested) = &self.nested {
            nested.check(from + 1000, depth - 1);
        }
    }
}
