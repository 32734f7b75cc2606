//! A thread's own state, in both kinds of memory, changed by operations of which each touches
//! more than eight pages, and a naive model to replay them on.
//!
//! Invariants, between operations: all *stamps* (in four boxed pages, four tracked ones, four
//! tables of rows) are the number of the last operation; everything else is as the model says.
//! Every [`PERIOD`] operations all is put back to how it was, so that a replay is never long.

use super::mix;
use std::collections::BTreeMap;
use stillheap::{Durable, Rows, Tracked, XTree};

/// Operations from one clearing to the next.
pub(crate) const PERIOD: u64 = 1024;

/// Pages of each kind that carry the stamps.
const STAMPED: usize = 4;
/// Different keys of the maps.
const KEYS: u64 = 600;

type Page = [u64; 512];
/// A row's keys and its value.
type Row = ([u64; 2], u64);

/// What an operation does, which hangs on the thread and its number alone.
struct Step {
    from: usize,
    to: usize,
    amount: u64,
    /// One of the stamped pages, or tables of rows.
    block: usize,
    /// A place in it, not the stamp's.
    slot: usize,
    key: u64,
}

impl Step {
    fn of(thread: u64, number: u64, cells: usize) -> Self {
        let random = |salt: u64| mix(number ^ thread << 40 ^ salt << 52);
        let below = |salt: u64, end: usize| (random(salt) % end as u64) as usize;
        Self {
            from: below(1, cells),
            to: below(2, cells),
            amount: random(3),
            block: below(4, STAMPED),
            slot: 1 + below(5, 511),
            key: random(6) % KEYS,
        }
    }

    fn value(&self) -> Vec<u8> {
        vec![self.slot as u8; (self.amount % 700) as usize]
    }
}

fn first_in_cell(thread: u64, cell: usize) -> u64 {
    mix(cell as u64 | thread << 40)
}

fn point(key: u64) -> [f64; 2] {
    let number = mix(key ^ 0xabcd);
    [(number & 0xffff) as f64, (number >> 16 & 0xffff) as f64]
}

#[derive(Durable)]
pub(crate) struct Lane {
    thread: u64,
    /// Operations so far.
    pub(crate) steps: u64,
    /// Operations that changed the common state as well, in the same scope.
    pub(crate) crossings: u64,
    /// What was done since the last clearing.
    log: Vec<u64>,
    /// Amounts; their sum stays as it is.
    cells: Vec<u64>,
    #[allow(clippy::vec_box, reason = "pages of ordinary memory are what is to be changed")]
    boxes: Vec<Box<Page>>,
    pages: Vec<Tracked<Page>>,
    rows: Vec<Rows<u64, u64>>,
    map: BTreeMap<u64, Vec<u8>>,
    tree: XTree<2, u64>,
}

impl Lane {
    pub(crate) fn new(thread: u64, cells: usize) -> Self {
        Self {
            thread,
            steps: 0,
            crossings: 0,
            log: Vec::new(),
            cells: (0..cells).map(|cell| first_in_cell(thread, cell)).collect(),
            boxes: (0..STAMPED).map(|_| Box::new([0; 512])).collect(),
            pages: (0..STAMPED).map(|_| Tracked::new([0; 512])).collect(),
            rows: (0..STAMPED).map(|_| Rows::new(2, 2)).collect(),
            map: BTreeMap::new(),
            tree: XTree::new(),
        }
    }

    /// One operation.
    pub(crate) fn advance(&mut self) {
        self.change_guarded();
        self.change_tracked();
    }

    /// The first half of an operation.
    pub(crate) fn change_guarded(&mut self) {
        if self.steps.is_multiple_of(PERIOD) {
            self.clear_guarded();
        }
        let step = Step::of(self.thread, self.steps, self.cells.len());
        self.log.push(step.amount);
        for page in &mut self.boxes {
            page[0] = self.steps + 1;
        }
        self.boxes[step.block][step.slot] = step.amount;
        self.cells[step.from] = self.cells[step.from].wrapping_sub(step.amount);
        self.cells[step.to] = self.cells[step.to].wrapping_add(step.amount);
        if self.map.remove(&step.key).is_none() {
            self.map.insert(step.key, step.value());
        }
    }

    /// The second half.
    pub(crate) fn change_tracked(&mut self) {
        if self.steps.is_multiple_of(PERIOD) {
            self.tree.clear();
            self.pages.iter_mut().for_each(|page| *page.write() = [0; 512]);
            self.rows.iter_mut().for_each(|rows| rows.write().clear());
        }
        let step = Step::of(self.thread, self.steps, self.cells.len());
        self.steps += 1;
        for (page, rows) in self.pages.iter_mut().zip(&mut self.rows) {
            page.write()[0] = self.steps;
            rows.write().set_word(0, self.steps);
        }
        self.pages[step.block].write()[step.slot] = step.amount;
        let rows = &mut self.rows[step.block];
        if rows.len() == rows.capacity() {
            rows.write().clear();
        }
        rows.write().push(&[step.amount, step.key], self.steps);
        let place = point(step.key);
        if self.tree.remove(&place.into(), |key| *key == step.key).is_none() {
            self.tree.insert(place, step.key).expect("finite coordinates");
        }
    }

    fn clear_guarded(&mut self) {
        for number in self.steps - self.log.len() as u64..self.steps {
            let step = Step::of(self.thread, number, self.cells.len());
            self.cells[step.from] = self.cells[step.from].wrapping_add(step.amount);
            self.cells[step.to] = self.cells[step.to].wrapping_sub(step.amount);
        }
        self.boxes.iter_mut().for_each(|page| **page = [0; 512]);
        self.log.clear();
        self.map.clear();
    }

    /// Compares everything with the model.
    pub(crate) fn check(&self) {
        let steps = self.steps;
        let boxes = self.boxes.iter().map(|page| page[0]);
        let pages = self.pages.iter().map(|page| page[0]);
        let stamps: Vec<u64> =
            boxes.chain(pages).chain(self.rows.iter().map(|rows| rows.word(0))).collect();
        assert_eq!(stamps, [steps; 3 * STAMPED], "half of an operation: stamps differ");
        let capacity = self.rows[0].capacity();
        let model = Model::replayed(self.thread, steps, self.cells.len(), capacity);
        let same = |what: &str, same: bool| {
            assert!(same, "{what} of thread {} at step {steps}: not the model's", self.thread);
        };
        same("the log", model.log == self.log);
        same("the cells", model.cells == self.cells);
        same("the boxes", model.pages.iter().eq(self.boxes.iter().map(|page| &**page)));
        same("the tracked pages", model.pages.iter().eq(self.pages.iter().map(|page| &**page)));
        same("the rows", model.rows == self.rows.iter().map(rows_of).collect::<Vec<_>>());
        same("the map", model.map == self.map);
        self.tree.validate().expect("a sound tree");
        same("the tree's size", self.tree.len() == model.map.len());
        let has = |key: &u64| self.tree.contains(&point(*key).into(), key);
        same("the tree", model.map.keys().all(has));
    }
}

fn rows_of(rows: &Rows<u64, u64>) -> Vec<Row> {
    let keys = rows.column(0).iter().zip(rows.column(1));
    keys.zip(rows.values()).map(|((first, second), value)| ([*first, *second], *value)).collect()
}

/// The same state in plain vectors and maps.
struct Model {
    log: Vec<u64>,
    cells: Vec<u64>,
    /// What both kinds of pages hold.
    pages: Vec<Page>,
    rows: Vec<Vec<Row>>,
    map: BTreeMap<u64, Vec<u8>>,
}

impl Model {
    fn replayed(thread: u64, steps: u64, cells: usize, capacity: usize) -> Self {
        let mut model = Self {
            log: Vec::new(),
            cells: (0..cells).map(|cell| first_in_cell(thread, cell)).collect(),
            pages: vec![[0; 512]; STAMPED],
            rows: vec![Vec::new(); STAMPED],
            map: BTreeMap::new(),
        };
        let begun = steps.saturating_sub(1) / PERIOD * PERIOD;
        for number in begun..steps {
            let step = Step::of(thread, number, cells);
            model.log.push(step.amount);
            model.cells[step.from] = model.cells[step.from].wrapping_sub(step.amount);
            model.cells[step.to] = model.cells[step.to].wrapping_add(step.amount);
            model.pages[step.block][step.slot] = step.amount;
            let rows = &mut model.rows[step.block];
            if rows.len() == capacity {
                rows.clear();
            }
            rows.push(([step.amount, step.key], number + 1));
            if model.map.remove(&step.key).is_none() {
                model.map.insert(step.key, step.value());
            }
        }
        model.pages.iter_mut().for_each(|page| page[0] = steps);
        model
    }
}
