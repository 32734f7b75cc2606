//! What audits and searches for leaks have found, for people: what it is, what it most likely
//! means, and what else it may be.

use crate::arena::Purpose;
use crate::base::text::{self, Table};
use crate::trace::{Amount, Audit, Finding, Leaks, Lost, Tally, Target};
use std::fmt;

/// The name of a kind of memory: `ambient`, `scoped` or `tracked`.
#[must_use]
pub fn purpose_name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Ambient => "ambient",
        Purpose::Scoped => "scoped",
        Purpose::Tracked => "tracked",
    }
}

fn blocks(amount: Amount) -> String {
    let noun = if amount.blocks == 1 { "block" } else { "blocks" };
    format!("{} {noun}, {}", text::count(amount.blocks), text::bytes(amount.bytes))
}

fn number(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", text::count(count), if count == 1 { "" } else { "s" })
}

/// What a word that leads there most likely is.
fn meaning(target: Target) -> &'static str {
    match target {
        Target::System => {
            "\
Memory that was allocated inside `transient`, by a C library or by the system has been moved
into the root, or unsafe code keeps a raw pointer to it (or to a thread's stack). In the next
run nothing is there."
        }
        Target::Stack => "Unsafe code keeps a reference or raw pointer to a local variable.",
        Target::Library => {
            "\
A function or constant of a shared library, which lies elsewhere in the next run: a function
pointer, or a raw pointer, kept by unsafe code."
        }
        Target::File => {
            "\
Unsafe code keeps a pointer into a mapped file, which lies elsewhere in the next run."
        }
        Target::Executable => {
            "\
The executable lies elsewhere in the next run: a function pointer, a `&'static`, or a `dyn`
value, kept by unsafe code or in a type with a hand-written `Durable`, which has to say so
(`Shape::link`) and to relink it."
        }
        Target::Link => "They are put right when the root is opened. Their types say so.",
        Target::Free => {
            "\
Mostly harmless: what is left in room that a value does not use (spare capacity, padding, what
was moved out), or an address behind the end of a block. If the value uses it, it is a dangling
pointer."
        }
    }
}

const ANY_WORD: &str = "\
Any word counts that is such an address, whatever it is: a number may look like one, and room
that a value does not use may still hold one of an earlier value.
";

const AMBIENT: &str = "\
Ambient memory was allocated outside scopes: mostly what a running program had in use when the
snapshot was taken, or what a run has left. The next run frees it.
";

const SCOPED: &str = "\
Scoped and tracked memory was allocated for roots. It is lost (`mem::forget`, `Box::leak`, a cycle
of `Rc` or `Arc`), or a value that was taken out of a root was still in use. The next run frees it.
";

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reached = blocks(self.reached.all());
        writeln!(
            f,
            "snapshot {}: {reached} in {}",
            self.snapshot,
            number(self.roots as u64, "root")
        )?;
        match self.findings() {
            0 => writeln!(f, "no pointer leaves the heap")?,
            found => {
                let verb = if found == 1 { "leads" } else { "lead" };
                writeln!(f, "{} {verb} out of the heap", number(found, "word"))?;
            }
        }
        for count in &self.counts {
            let (words, target) = (number(count.words, "word"), count.target);
            writeln!(f, "\nroot \"{}\": {words} to {target}", count.root)?;
            let like = |other: &&Finding| other.root == count.root && other.target == target;
            for example in self.examples.iter().filter(like) {
                write!(f, "{example}")?;
            }
            writeln!(f, "{}", meaning(target))?;
        }
        match self.counts.iter().any(|count| count.target != Target::Link) {
            true => write!(f, "\n{ANY_WORD}"),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Finding {
    /// Two lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, len, offset, word, .. } = self;
        let purpose = purpose_name(self.purpose);
        write!(
            f,
            "  {word:#x} at byte {offset} of the {purpose} block {address:#x} ({len} bytes)"
        )?;
        if let Some(field) = &self.field {
            write!(f, ", {field}")?;
        }
        match &*self.mapping {
            "" => writeln!(f)?,
            mapping => writeln!(f, ": {mapping}")?,
        }
        write_bytes(f, &self.around)
    }
}

/// A line with bytes in hexadecimal, and as text.
fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let word = |word: &[u8]| word.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hex: Vec<String> = bytes.chunks(8).map(word).collect();
    let shown = |&byte: &u8| if (b' '..=b'~').contains(&byte) { char::from(byte) } else { '.' };
    let text: String = bytes.iter().map(shown).collect();
    writeln!(f, "    {}  {}", hex.join(" "), text.trim_end())
}

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, lost) = (blocks(self.found.all()), self.lost.all());
        writeln!(f, "snapshot {}: {found}", self.snapshot)?;
        if lost.blocks == 0 {
            return writeln!(f, "a root leads to every block");
        }
        writeln!(f, "no root leads to {}", blocks(lost))?;
        let mut table = Table::new(1, &["size", "ambient", "scoped", "tracked", "bytes"]);
        for size in &self.by_size {
            let name = match size.block_bytes {
                Some(bytes) => format!("{bytes} B"),
                None if size.is_large => "large blocks".to_owned(),
                None => "pages".to_owned(),
            };
            table.row(row(name, &size.lost));
        }
        table.row(row("all".to_owned(), &self.lost));
        f.write_str(&table.lines("  "))?;
        if self.lost.ambient.blocks > 0 {
            f.write_str(AMBIENT)?;
        }
        if self.is_suspicious() {
            f.write_str(SCOPED)?;
        }
        let heads = if self.heads == 1 { "block holds" } else { "blocks hold" };
        writeln!(f, "\n{} {heads} all of it:", text::count(self.heads))?;
        self.largest.iter().try_for_each(|head| write!(f, "{head}"))?;
        match self.heads - self.largest.len() as u64 {
            0 => Ok(()),
            more => writeln!(f, "and {} more, with less", text::count(more)),
        }
    }
}

fn row(name: String, lost: &Tally) -> [String; 5] {
    let [ambient, scoped, tracked] =
        [lost.ambient, lost.scoped, lost.tracked].map(|amount| text::count(amount.blocks));
    [name, ambient, scoped, tracked, text::bytes(lost.all().bytes)]
}

impl fmt::Display for Lost {
    /// Two lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (purpose, address, len) = (purpose_name(self.purpose), self.address, self.len);
        write!(f, "  {purpose} block {address:#x} ({len} bytes)")?;
        if self.purpose == Purpose::Tracked {
            f.write_str(", a `Tracked` value or a page of `Rows`")?;
        }
        if self.retained.blocks > 1 {
            write!(f, ", with what it leads to {}", blocks(self.retained))?;
        }
        if self.is_cycle {
            f.write_str(", which leads back to it")?;
        }
        for root in &self.leads_to {
            write!(f, ", points to memory of root \"{root}\"")?;
        }
        writeln!(f)?;
        write_bytes(f, &self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Count, LostOfSize};

    fn tally(blocks: u64, bytes: u64) -> Tally {
        Tally { scoped: Amount { blocks, bytes }, ..Tally::default() }
    }

    fn finding(target: Target, mapping: &str, field: Option<&str>) -> Finding {
        Finding {
            root: "db".to_owned(),
            address: 0x2000_0040_0040,
            len: 64,
            class: Some(3),
            purpose: Purpose::Scoped,
            offset: 8,
            word: 0x7ffc_1230,
            target,
            mapping: mapping.to_owned(),
            field: field.map(str::to_owned),
            around: b"0123456789abcdef\x30\x12\xfc\x7f\0\0\0\0".to_vec(),
        }
    }

    fn audit(counts: &[(Target, u64)], examples: Vec<Finding>) -> Audit {
        let count = |&(target, words)| Count { root: "db".to_owned(), target, words };
        let counts = counts.iter().map(count).collect();
        Audit { snapshot: 7, reached: tally(1200, 4096), roots: 1, counts, examples }
    }

    #[test]
    fn an_audit_says_what_where_and_why() {
        let clean = audit(&[], Vec::new()).to_string();
        let head = "snapshot 7: 1,200 blocks, 4.0 KiB in 1 root\n";
        assert_eq!(clean, format!("{head}no pointer leaves the heap\n"));
        let linked = audit(&[(Target::Link, 3)], Vec::new());
        assert_eq!(linked.findings(), 0);
        let link = "\nroot \"db\": 3 words to the executable\nThey are put right";
        assert!(linked.to_string().starts_with(&format!("{clean}{link}")), "{linked}");
        assert!(!linked.to_string().contains("may look like"), "{linked}");
        let field = "`Db.entry`: Option<Box<u64>>, byte 0";
        let examples =
            vec![finding(Target::Stack, "[stack]", Some(field)), finding(Target::Free, "", None)];
        let bad = audit(&[(Target::Stack, 1), (Target::Free, 20)], examples);
        assert_eq!(bad.findings(), 1);
        let around =
            "    3031323334353637 3839616263646566 3012fc7f00000000  0123456789abcdef0.......";
        let text = format!(
            "{head}1 word leads out of the heap

root \"db\": 1 word to the stack
  0x7ffc1230 at byte 8 of the scoped block 0x200000400040 (64 bytes), {field}: [stack]
{around}
{}

root \"db\": 20 words to free memory of the heap
  0x7ffc1230 at byte 8 of the scoped block 0x200000400040 (64 bytes)
{around}
{}

Any word counts",
            meaning(Target::Stack),
            meaning(Target::Free)
        );
        assert!(bad.to_string().starts_with(&text), "{bad}");
    }

    #[test]
    fn each_kind_has_a_meaning_in_short_lines() {
        let all = [
            Target::System,
            Target::Stack,
            Target::Library,
            Target::File,
            Target::Executable,
            Target::Link,
            Target::Free,
        ];
        for target in all {
            let text = audit(&[(target, 2)], vec![finding(target, "", None)]).to_string();
            assert!(text.lines().all(|line| line.len() <= 100), "{text}");
            assert!(text.contains(&format!("2 words to {target}\n")), "{text}");
            assert_eq!(text.contains("lead out"), target.is_finding(), "{text}");
        }
    }

    #[test]
    fn leaks_are_counted_and_shown() {
        let mut leaks = Leaks {
            snapshot: 2,
            found: tally(30, 5000),
            lost: Tally::default(),
            by_size: Vec::new(),
            heads: 0,
            largest: Vec::new(),
        };
        assert_eq!(
            leaks.to_string(),
            "snapshot 2: 30 blocks, 4.8 KiB\na root leads to every block\n"
        );
        leaks.lost = tally(3, 96);
        let (block_bytes, lost) = (Some(32), leaks.lost);
        leaks.by_size = vec![LostOfSize { block_bytes, is_large: false, lost }];
        leaks.heads = 2;
        leaks.largest = vec![Lost {
            address: 0x2000_0040_0020,
            len: 32,
            class: Some(1),
            purpose: Purpose::Scoped,
            retained: Amount { blocks: 2, bytes: 64 },
            is_cycle: true,
            bytes: b"text\0\x80 ~".to_vec(),
            leads_to: vec!["db".to_owned()],
        }];
        let text = leaks.to_string();
        let head = "\
snapshot 2: 30 blocks, 4.8 KiB
no root leads to 3 blocks, 96 B
  size  ambient  scoped  tracked  bytes
  32 B        0       3        0   96 B
  all         0       3        0   96 B
Scoped and tracked memory";
        assert!(text.starts_with(head), "{text}");
        let tail = "

2 blocks hold all of it:
  scoped block 0x200000400020 (32 bytes), with what it leads to 2 blocks, 64 B, which leads back \
                    to it, points to memory of root \"db\"
    746578740080207e  text.. ~
and 1 more, with less
";
        assert!(text.ends_with(tail), "{text}");
        leaks.lost.ambient = Amount { blocks: 1, bytes: 16 };
        assert!(leaks.to_string().contains("had in use when the\nsnapshot was taken"), "{leaks}");
    }
}
