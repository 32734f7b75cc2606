//! The workload `std`: a small database of ordinary collections.
//!
//! Invariant: an account is in `accounts` if and only if its name is in `by_name`.

use crate::dice::Dice;
use crate::run::{Home, Workload};
use std::collections::{BTreeMap, HashMap};
use stillheap::Durable;

/// Accounts when the size is steady: half of all numbers are in use.
const ACCOUNTS: u64 = 800_000;
/// Lines of the journal.
const JOURNAL: usize = 200_000;

/// Accounts by number and by name, and a journal.
#[derive(Durable, Default)]
pub struct Table {
    accounts: BTreeMap<u64, Account>,
    by_name: HashMap<String, u64>,
    journal: Vec<String>,
    next_line: usize,
}

#[derive(Durable)]
struct Account {
    name: String,
    tags: Vec<String>,
    balance: u64,
}

impl Table {
    fn toggle(&mut self, number: u64, name: String, tags: Vec<String>) -> u64 {
        if let Some(old) = self.accounts.remove(&number) {
            self.by_name.remove(&old.name);
            return old.balance;
        }
        self.by_name.insert(name.clone(), number);
        self.accounts.insert(number, Account { name, tags, balance: 1000 });
        number
    }

    fn update(&mut self, number: u64, tag: String) -> u64 {
        let Some((_, account)) = self.accounts.range_mut(number..).next() else { return 0 };
        account.balance += 1;
        let place = account.balance as usize % account.tags.len();
        account.tags[place] = tag;
        account.balance
    }

    fn note(&mut self, line: String) -> u64 {
        if self.journal.len() < JOURNAL {
            self.journal.push(line);
            return 0;
        }
        let place = self.next_line % JOURNAL;
        self.next_line += 1;
        std::mem::replace(&mut self.journal[place], line).len() as u64
    }
}

impl Workload for Table {
    fn fill(home: &mut impl Home<Self>, dice: &mut Dice) {
        for number in 0..ACCOUNTS {
            let (name, tags) = (name(2 * number), tags(dice));
            home.write(|table| table.toggle(2 * number, name, tags));
        }
        for number in 0..JOURNAL as u64 {
            home.write(|table| table.note(line(number, dice)));
        }
    }

    /// Of 100: 30 lookups by name, 20 by number, 20 updates, 20 inserts or removals, 10 lines.
    fn step(home: &mut impl Home<Self>, dice: &mut Dice) -> u64 {
        let number = dice.below(2 * ACCOUNTS);
        match dice.below(100) {
            0..30 => {
                let name = name(number);
                home.read(|table| table.by_name.get(&name).copied().unwrap_or(0))
            }
            30..50 => home.read(|table| {
                let some = table.accounts.range(number..).take(10);
                some.map(|(_, account)| account.balance + account.tags.len() as u64).sum()
            }),
            50..70 => {
                let tag = tag(dice);
                home.write(|table| table.update(number, tag))
            }
            70..90 => {
                let (name, tags) = (name(number), tags(dice));
                home.write(|table| table.toggle(number, name, tags))
            }
            _ => {
                let line = line(number, dice);
                home.write(|table| table.note(line))
            }
        }
    }
}

fn name(number: u64) -> String {
    format!("account {:010}", number.wrapping_mul(2_654_435_761))
}

fn tag(dice: &mut Dice) -> String {
    let mut tag = String::from("tag");
    for _ in 0..dice.below(4) {
        tag.push('-');
        tag.push_str(&(dice.word() % 100_000).to_string());
    }
    tag
}

fn tags(dice: &mut Dice) -> Vec<String> {
    (0..1 + dice.below(4)).map(|_| tag(dice)).collect()
}

fn line(number: u64, dice: &mut Dice) -> String {
    let words = ["paid", "received", "moved", "returned"];
    let word = words[dice.below(4) as usize];
    format!("{number} has {word} {} units", dice.word() % 1_000_000)
}
