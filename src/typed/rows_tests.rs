//! Tests of `Rows`: against a `Vec`, with values of many sizes, and with counted drops.
#![allow(clippy::cast_possible_truncation, reason = "any pattern of keys and values will do")]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::runtime::pages::tests::announced;

#[derive(Clone, Debug, PartialEq)]
#[repr(align(128))]
struct Wide([u8; 200]);

#[derive(Debug)]
struct Counted {
    number: u32,
    alive: Rc<Cell<isize>>,
    panics: bool,
}

impl Counted {
    fn new(number: u32, alive: &Rc<Cell<isize>>) -> Self {
        alive.set(alive.get() + 1);
        Self { number, alive: alive.clone(), panics: false }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        assert!(!self.panics, "a clone that panics");
        Self::new(self.number, &self.alive)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
        assert!(!self.panics, "a destructor that panics");
    }
}

fn fill<K: Key, V: Clone + PartialEq + fmt::Debug>(
    columns: usize,
    pages: usize,
    key: impl Fn(usize, usize) -> K,
    value: impl Fn(usize) -> V,
) {
    let mut rows = Rows::<K, V>::new(columns, pages);
    let capacity = rows.capacity().min(3000);
    for row in 0..capacity {
        let keys: Vec<K> = (0..columns).map(|column| key(row, column)).collect();
        rows.write().push(&keys, value(row));
    }
    let copy = rows.clone();
    for rows in [&rows, &copy] {
        assert_eq!(rows.len(), capacity);
        for column in 0..columns {
            assert_eq!(rows.column(column).as_ptr().addr() % 64, 0);
            assert_eq!(&rows.column_padded(column)[..capacity], rows.column(column));
            let expected: Vec<K> = (0..capacity).map(|row| key(row, column)).collect();
            assert_eq!(rows.column(column), expected);
        }
        let expected: Vec<V> = (0..capacity).map(&value).collect();
        assert_eq!(rows.values(), expected);
    }
}

#[test]
fn holds_values_of_every_size_and_alignment() {
    for columns in [0, 1, 2, 5, 64] {
        for pages in [1, 2, 7] {
            fill(columns, pages, |row, column| (row * 3 + column) as f64, |row| row as u64);
            fill(columns, pages, |row, column| (row * 3 + column) as f32, |row| row as u8);
            fill(columns, pages, |row, column| (row + column) as u8, |_| ());
            fill(columns, pages, |row, column| (row + column) as i128, |row| row.to_string());
            fill(columns, pages, |row, _| row as f64, |row| Wide([row as u8; 200]));
            fill(columns, pages, |row, _| row as u16, |row| [row; 700]);
        }
    }
}

#[test]
fn capacity_is_what_fits_and_pages_for_is_its_inverse() {
    assert_eq!(Rows::<f64, u64>::capacity_of(2, 1), 168);
    assert_eq!(Rows::<f64, [u64; 1000]>::capacity_of(2, 1), 0);
    assert_eq!(Rows::<f64, [u64; 1000]>::pages_for(2, 16), 32);
    for rows in [1, 2, 84, 85, 168, 169, 5000] {
        let pages = Rows::<f64, u64>::pages_for(4, rows);
        assert!(Rows::<f64, u64>::capacity_of(4, pages) >= rows);
        assert!(pages == 1 || Rows::<f64, u64>::capacity_of(4, pages - 1) < rows);
    }
}

#[test]
fn refuses_what_is_not_there() {
    let mut rows = Rows::<f64, u64>::new(2, 1);
    rows.write().push(&[1.0, 2.0], 3);
    let mut refused = |act: &dyn Fn(&mut RowsMut<'_, f64, u64>)| {
        assert!(catch_unwind(AssertUnwindSafe(|| act(&mut rows.write()))).is_err());
    };
    refused(&|page| page.push(&[1.0], 3));
    refused(&|page| page.set_keys(1, &[1.0, 2.0]));
    refused(&|page| page.set_keys(0, &[1.0, 2.0, 3.0]));
    refused(&|page| assert_eq!(page.swap_remove(1), 0));
    refused(&|page| page.set_word(5, 0));
    refused(&|page| drop(page.column(2).to_vec()));
    refused(&|page| {
        for _ in 0..page.capacity() {
            page.push(&[0.0, 0.0], 0);
        }
    });
    assert_eq!(rows.len(), rows.capacity());
}

#[test]
fn words_are_kept() {
    let mut rows = Rows::<u8, u8>::new(1, 1);
    for word in 0..WORDS {
        assert_eq!(rows.word(word), 0);
        rows.write().set_word(word, word as u64 + 10);
    }
    assert_eq!(rows.clone().word(4), 14);
}

#[test]
fn writes_are_announced_at_both_ends_and_reaching_a_child_is_none() {
    let mut parent = Rows::<u8, Rows<u8, u8>>::new(1, 1);
    parent.write().push(&[0], Rows::new(1, 1));
    let before = announced();
    parent.reach(0).write().push(&[1], 2);
    assert_eq!(announced(), before + 2);
    assert_eq!(parent.values()[0].values(), [2]);
    assert_eq!(announced(), before + 2);
}

#[test]
fn a_panicking_destructor_or_clone_drops_the_rest_once() {
    let alive = Rc::new(Cell::new(0));
    let mut rows = Rows::<u64, Counted>::new(1, 1);
    for number in 0..20 {
        rows.write().push(&[1], Counted::new(number, &alive));
    }
    rows.write().values_mut()[7].panics = true;
    assert!(catch_unwind(AssertUnwindSafe(|| rows.clone())).is_err());
    assert_eq!(alive.get(), 20);
    assert!(catch_unwind(AssertUnwindSafe(|| rows.write().clear())).is_err());
    assert_eq!(alive.get(), 0);
    assert!(rows.is_empty());
    rows.write().push(&[1], Counted::new(1, &alive));
    rows.write().values_mut()[0].panics = true;
    assert!(catch_unwind(AssertUnwindSafe(move || drop(rows))).is_err());
    assert_eq!(alive.get(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Push([i32; 3], u32),
    SwapRemove(usize),
    SetKeys(usize, [i32; 3]),
    Replace(usize, u32),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<[i32; 3]>(), any::<u32>()).prop_map(|(keys, value)| Step::Push(keys, value)),
        4 => any::<usize>().prop_map(Step::SwapRemove),
        2 => (any::<usize>(), any::<[i32; 3]>()).prop_map(|(row, keys)| Step::SetKeys(row, keys)),
        2 => (any::<usize>(), any::<u32>()).prop_map(|(row, value)| Step::Replace(row, value)),
        1 => Just(Step::Clear),
    ]
}

fn apply(
    step: Step,
    rows: &mut Rows<i32, Counted>,
    model: &mut Vec<([i32; 3], u32)>,
    alive: &Rc<Cell<isize>>,
) {
    let row_of = |at: usize| at % model.len().max(1);
    match step {
        Step::Push(keys, value) if model.len() < rows.capacity() => {
            rows.write().push(&keys, Counted::new(value, alive));
            model.push((keys, value));
        }
        Step::SwapRemove(at) if !model.is_empty() => {
            let row = row_of(at);
            assert_eq!(rows.write().swap_remove(row).number, model.swap_remove(row).1);
        }
        Step::SetKeys(at, keys) if !model.is_empty() => {
            let row = row_of(at);
            rows.write().set_keys(row, &keys);
            model[row].0 = keys;
        }
        Step::Replace(at, value) if !model.is_empty() => {
            let row = row_of(at);
            rows.write().values_mut()[row] = Counted::new(value, alive);
            model[row].1 = value;
        }
        Step::Clear => {
            rows.write().clear();
            model.clear();
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn behaves_as_a_vec(steps in prop::collection::vec(step(), 0..400)) {
        let alive = Rc::new(Cell::new(0));
        let mut rows = Rows::<i32, Counted>::new(3, 1);
        let mut model = Vec::new();
        for step in steps {
            apply(step, &mut rows, &mut model, &alive);
            prop_assert_eq!(rows.len(), model.len());
            prop_assert_eq!(alive.get(), isize::try_from(model.len()).unwrap());
        }
        for (row, (keys, value)) in model.iter().enumerate() {
            prop_assert_eq!([0, 1, 2].map(|column| rows.column(column)[row]), *keys);
            prop_assert_eq!(rows.values()[row].number, *value);
        }
        drop(rows);
        prop_assert_eq!(alive.get(), 0);
    }
}
