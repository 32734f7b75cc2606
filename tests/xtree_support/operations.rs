//! Random sequences of operations, read from bytes.

use super::{Pair, Payload, Wide};
use stillheap::{Rect, Tuning};

/// Does what the bytes say, and checks the tree after each step. Gives how many steps there were.
pub(crate) fn run<const D: usize>(bytes: &[u8]) -> usize {
    let mut bytes = Bytes(bytes);
    match bytes.next() {
        None => 0,
        Some(way) if way & 8 == 0 => run_with::<D, u32>(way, bytes),
        Some(way) => run_with::<D, Wide>(way, bytes),
    }
}

fn run_with<const D: usize, V: Payload>(way: u8, mut bytes: Bytes<'_>) -> usize {
    let pair = Pair::<D, f64, V>::new(tuning(way, &mut bytes));
    let mut steps = Steps { pair, bytes, number: 0 };
    while steps.step().is_some() {
        steps.pair.check();
        steps.number += 1;
    }
    steps.pair.check_entries();
    steps.number as usize
}

/// Small nodes make tall trees of few entries.
fn tuning(way: u8, bytes: &mut Bytes<'_>) -> Tuning {
    let tuning = Tuning::new();
    let mut fanout = || 4 + u32::from(bytes.next().unwrap_or(0) % 16);
    match way % 8 {
        0 => tuning,
        1 => tuning.reinsertion(30),
        2 => tuning.leaf_rows(fanout()).inner_rows(fanout()),
        3 => tuning.leaf_rows(fanout()).inner_rows(fanout()).reinsertion(30),
        4 => tuning.leaf_rows(fanout()).inner_rows(fanout()).max_overlap(0),
        5 => tuning.leaf_rows(fanout()).inner_rows(fanout()).max_overlap(100),
        6 => tuning.leaf_rows(fanout()).inner_rows(fanout()).max_overlap(5).min_fanout(50),
        _ => tuning.leaf_rows(4).inner_rows(4).max_overlap(1),
    }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }
}

struct Steps<'a, const D: usize, V> {
    pair: Pair<D, f64, V>,
    bytes: Bytes<'a>,
    number: u32,
}

impl<const D: usize, V: Payload> Steps<'_, D, V> {
    /// `None`: there are no bytes left.
    fn step(&mut self) -> Option<()> {
        let what = self.bytes.next()? % 64;
        let number = self.number;
        match what {
            0..20 => {
                let at = self.point()?;
                self.pair.insert(at.into(), number);
            }
            20..28 => {
                let rect = self.rect()?;
                self.pair.insert(rect, number);
            }
            28..31 => self.insert_many()?,
            31..43 => {
                if let Some(place) = self.place()? {
                    self.pair.remove(place);
                }
            }
            43 => {
                let rect = self.rect()?;
                assert!(self.pair.tree.remove(&rect, |_| false).is_none());
                assert!(!self.pair.tree.relocate(&rect, |_| false, rect).unwrap());
                assert!(self.pair.tree.get_mut(&rect, |_| false).is_none());
            }
            44..50 => self.relocate(what)?,
            50..54 | 60..63 => self.ask(what)?,
            54 => self.pair.tree = self.pair.tree.clone(),
            55 => {
                let fill = 50 + self.bytes.next()? % 51;
                self.pair.rebuild(fill, None);
            }
            56 => {
                let (part, of) = (u32::from(self.bytes.next()?), 2 + number % 7);
                self.pair.retain(|_, value| value % of != part % of);
            }
            57 | 58 => {
                let window = self.rect()?;
                self.pair.drain_window(&window);
            }
            59 => self.change_value()?,
            _ => {
                let rare = self.bytes.next()? == 0;
                if rare {
                    self.pair.tree.clear();
                    self.pair.list.clear();
                }
            }
        }
        Some(())
    }

    /// Many at once, so that short inputs make large trees.
    fn insert_many(&mut self) -> Option<()> {
        let (rect, count) = (self.rect()?, u32::from(self.bytes.next()?));
        for more in 0..count {
            let off = f64::from(more * 37 % 101);
            let at = std::array::from_fn(|axis| rect.min()[axis] + off / (axis as f64 + 1.0));
            self.pair.insert(Rect::from(at), 10_000 + self.number * 1000 + more);
        }
        Some(())
    }

    fn ask(&mut self, what: u8) -> Option<()> {
        match what {
            50 | 51 => {
                let rect = self.rect()?;
                self.pair.check_window(&rect);
                self.pair.check_exactly(&rect);
            }
            52 | 53 => {
                let (point, count) = (self.point()?, usize::from(self.bytes.next()?));
                self.pair.check_nearest(point, count);
            }
            60 => {
                let (every, distance) = (self.bytes.next()?, self.bytes.next()?);
                let every = self.pair.list.len() / 20 + usize::from(every) + 1;
                self.pair.check_join(every, f64::from(distance) / 16.0);
            }
            61 => {
                if let Some(place) = self.place()? {
                    self.pair.check_exactly(&self.pair.list[place].0);
                }
            }
            _ => self.pair.check_entries(),
        }
        Some(())
    }

    /// A short way, or any.
    fn relocate(&mut self, what: u8) -> Option<()> {
        let Some(place) = self.place()? else { return Some(()) };
        let old = self.pair.list[place].0;
        let to = match what % 4 {
            0 => self.rect()?,
            1 => self.point()?.into(),
            _ => {
                let by = f64::from(self.bytes.next()?) / 64.0 - 2.0;
                let (min, max) = (old.min().map(|at| at + by), old.max().map(|at| at + by));
                Rect::new(min, max).unwrap()
            }
        };
        self.pair.relocate(place, to);
        Some(())
    }

    fn change_value(&mut self) -> Option<()> {
        let Some(place) = self.place()? else { return Some(()) };
        let (rect, value) = &mut self.pair.list[place];
        let mut found = self.pair.tree.get_mut(rect, |other| other.number() == *value).unwrap();
        assert_eq!(found.number(), *value);
        *value = 1_000_000_000 + self.number;
        *found = V::of(*value);
        Some(())
    }

    /// A place in the list, if there is any.
    fn place(&mut self) -> Option<Option<usize>> {
        let place = usize::from(self.bytes.next()?) << 8 | usize::from(self.bytes.next()?);
        Some(place.checked_rem(self.pair.list.len()))
    }

    fn point(&mut self) -> Option<[f64; D]> {
        let mut point = [0.0; D];
        for at in &mut point {
            *at = f64::from(self.bytes.next()? as i8);
        }
        Some(point)
    }

    fn rect(&mut self) -> Option<Rect<D, f64>> {
        let min = self.point()?;
        let mut max = min;
        for at in &mut max {
            *at += f64::from(self.bytes.next()? % 64);
        }
        Some(Rect::new(min, max).unwrap())
    }
}
