//! What people read in reports: sizes, counts, tables.

use std::fmt::Write;

/// Rows under a headline, in columns.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// How many columns, from the left, are words and not numbers.
    words: usize,
}

impl Table {
    /// A table with that headline; its first `words` columns are words, and set to the left.
    #[must_use]
    pub fn new(words: usize, headline: &[&str]) -> Self {
        Self { rows: vec![headline.iter().map(|&name| name.to_owned()).collect()], words }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, each after `indent`; nothing if there are no rows.
    #[must_use]
    pub fn lines(&self, indent: &str) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in self.rows.iter().filter(|_| self.rows.len() > 1) {
            let mut line = indent.to_owned();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                let _ = match column < self.words {
                    true => write!(line, "{gap}{cell:<width$}"),
                    false => write!(line, "{gap}{cell:>width$}"),
                };
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// `43.7 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut unit, mut tenths) = (0, u128::from(count) * 10 / 1024);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        (unit, tenths) = (unit + 1, tenths / 1024);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `1,234,567`.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!([0, 1023, 1024, 1 << 20].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.0 MiB"]);
        assert_eq!(bytes((1 << 20) - 1), "1023.9 KiB");
        assert_eq!(bytes(u64::MAX), "16384.0 PiB".replace("16384.0", "16383.9"));
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn columns_are_as_wide_as_they_must() {
        let mut table = Table::new(1, &["name", "n"]);
        assert_eq!(table.lines(""), "");
        table.row(["a".to_owned(), "10".to_owned()]);
        assert_eq!(table.lines(" "), " name   n\n a     10\n");
    }
}
