//! Stands for the library until it is there: the same names, and a file of places for a heap.

use super::db::{Db, Place};
pub(crate) use shim_types::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
mod shim_types {
    use std::time::Duration;
    #[derive(Clone, Debug)]
    pub(crate) struct StillInfo {
        pub(crate) number: u64,
        pub(crate) operations: u64,
        pub(crate) pause: Duration,
        pub(crate) drain: Duration,
        pub(crate) saving: Duration,
        pub(crate) bytes: u64,
    }
    pub(crate) enum Event {
        Durable(StillInfo),
        #[allow(dead_code, reason = "shim")]
        Other,
    }
    impl std::fmt::Display for Event {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("x")
        }
    }
    pub(crate) struct Restored {
        pub(crate) number: u64,
        pub(crate) operations: u64,
        pub(crate) elapsed: Duration,
    }
}
pub(crate) use rstar_tree::*;
mod rstar_tree {
    use rstar::{PointDistance, RTree, primitives::GeomWithData};
    #[derive(Default)]
    pub(crate) struct XTree<const D: usize, T>(RTree<GeomWithData<[f64; 2], T>>)
    where
        T: Copy + PartialEq;
    #[derive(Debug)]
    pub(crate) struct RectError;
    impl std::fmt::Display for RectError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("x")
        }
    }
    impl std::error::Error for RectError {}
    pub(crate) struct Neighbour<'a, T> {
        pub(crate) value: &'a T,
        pub(crate) distance_squared: f64,
    }
    pub(crate) struct Rect([f64; 2]);
    impl From<[f64; 2]> for Rect {
        fn from(a: [f64; 2]) -> Self {
            Self(a)
        }
    }
    impl<T: Copy + PartialEq> XTree<2, T> {
        pub(crate) fn insert(&mut self, at: [f64; 2], v: T) -> Result<(), RectError> {
            self.0.insert(GeomWithData::new(at, v));
            Ok(())
        }
        pub(crate) fn nearest(&self, at: [f64; 2], n: usize) -> Vec<Neighbour<'_, T>> {
            self.0
                .nearest_neighbor_iter(&at)
                .take(n)
                .map(|g| Neighbour { value: &g.data, distance_squared: g.distance_2(&at) })
                .collect()
        }
        pub(crate) fn len(&self) -> usize {
            self.0.size()
        }
        pub(crate) fn validate(&self) -> Result<(), RectError> {
            Ok(())
        }
        pub(crate) fn contains(&self, at: &Rect, v: &T) -> bool {
            self.0.locate_all_at_point(&at.0).any(|g| g.data == *v)
        }
    }
}

pub(crate) struct ProcessHeap;
#[allow(unsafe_code, reason = "shim")]
// SAFETY: shim
unsafe impl GlobalAlloc for ProcessHeap {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 {
        // SAFETY: shim
        unsafe { System.alloc(l) }
    }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) {
        // SAFETY: shim
        unsafe { System.dealloc(p, l) }
    }
}
type Callback = Arc<dyn Fn(&Event) + Send + Sync>;
#[derive(Clone, Default)]
pub(crate) struct Options {
    every: u64,
    cb: Option<Callback>,
}
impl Options {
    pub(crate) fn new() -> Self {
        Self::default()
    }
    pub(crate) fn snapshot_every_ops(mut self, n: u64) -> Self {
        self.every = n;
        self
    }
    pub(crate) fn keep(self, _: usize) -> Self {
        self
    }
    pub(crate) fn create(self, _: bool) -> Self {
        self
    }
    pub(crate) fn restart_on_collision(self, _: bool) -> Self {
        self
    }
    pub(crate) fn on_event(mut self, f: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.cb = Some(Arc::new(f));
        self
    }
}
pub(crate) struct State {
    db: RefCell<Db>,
    dir: PathBuf,
    ops: Cell<u64>,
    number: Cell<u64>,
    options: Options,
}
pub(crate) struct Heap {
    state: Rc<State>,
    restored: Option<Restored>,
}
pub(crate) struct Root<T>(Rc<State>, std::marker::PhantomData<T>);
impl State {
    fn still(&self) -> StillInfo {
        let t = Instant::now();
        self.number.set(self.number.get() + 1);
        let mut s = format!("{} {}\n", self.number.get(), self.ops.get());
        for p in self.db.borrow().shim_table() {
            s += &format!("{}\t{}\t{}\t{}\n", p.name, p.country, p.lat, p.lon);
        }
        std::fs::write(self.dir.join("0.full"), &s).unwrap_or(());
        let _ = std::fs::rename(self.dir.join("0.full"), self.dir.join("MANIFEST"));
        let info = StillInfo {
            number: self.number.get(),
            operations: self.ops.get(),
            pause: t.elapsed(),
            drain: Duration::ZERO,
            saving: t.elapsed(),
            bytes: s.len() as u64,
        };
        if let Some(cb) = &self.options.cb {
            cb(&Event::Durable(info.clone()));
        }
        info
    }
}
impl ProcessHeap {
    pub(crate) const fn new() -> Self {
        Self
    }
    pub(crate) fn open(&self, dir: &Path, options: Options) -> std::io::Result<Heap> {
        let t = Instant::now();
        std::fs::create_dir_all(dir)?;
        let mut db = Db::default();
        let mut head = (0, 0);
        let mut restored = None;
        if let Ok(text) = std::fs::read_to_string(dir.join("MANIFEST")) {
            let mut lines = text.lines();
            let (a, b) = lines.next().and_then(|l| l.split_once(' ')).unwrap_or_default();
            head = (a.parse().unwrap_or(0), b.parse().unwrap_or(0));
            for l in lines {
                let f: Vec<&str> = l.split('\t').collect();
                let _ = db.add(Place {
                    name: f[0].into(),
                    country: f[1].into(),
                    lat: f[2].parse().unwrap_or(0.0),
                    lon: f[3].parse().unwrap_or(0.0),
                });
            }
            restored = Some(Restored { number: head.0, operations: head.1, elapsed: t.elapsed() });
        }
        Ok(Heap {
            state: Rc::new(State {
                db: RefCell::new(db),
                dir: dir.into(),
                ops: Cell::new(head.1),
                number: Cell::new(head.0),
                options,
            }),
            restored,
        })
    }
}
impl Heap {
    pub(crate) fn root(&self, _: &str) -> std::io::Result<Root<Db>> {
        Ok(Root(self.state.clone(), std::marker::PhantomData))
    }
    pub(crate) fn restored(&self) -> Option<&Restored> {
        self.restored.as_ref()
    }
    pub(crate) fn close(self) -> std::io::Result<Option<StillInfo>> {
        Ok(Some(self.state.still()))
    }
}
impl Root<Db> {
    pub(crate) fn write<R>(&self, f: impl FnOnce(&mut Db) -> R) -> R {
        let r = f(&mut self.0.db.borrow_mut());
        self.0.ops.set(self.0.ops.get() + 1);
        if self.0.options.every > 0 && self.0.ops.get() % self.0.options.every == 0 {
            self.0.still();
        }
        r
    }
    pub(crate) fn read<R>(&self, f: impl FnOnce(&Db) -> R) -> R {
        f(&self.0.db.borrow())
    }
}
