//! What memory a process has mapped beside its heap: what no word of a root should lead to.

use crate::os::exe::ExecutableIdentity;
use crate::os::{self, Mapping};
use std::fmt;
use std::io;
use std::ops::Range;

/// What a word of a root's memory leads to that it should not; or may, see the last two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Target {
    /// Memory of the system's allocator, or other memory without a name, as threads' stacks.
    System,
    /// The main thread's stack.
    Stack,
    /// A shared library.
    Library,
    /// Another file that is mapped.
    File,
    /// The executable, from a root whose type says that it has no such pointers.
    Executable,
    /// The executable, from a root whose type says that it has them: they are put right when the
    /// root is opened.
    Link,
    /// Memory of the heap that belongs to no block in use.
    Free,
}

impl Target {
    /// Whether it is a mistake, if the word is a pointer that is used.
    #[must_use]
    pub fn is_finding(self) -> bool {
        !matches!(self, Self::Link | Self::Free)
    }

    /// As in reports: `stack`, `library`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Stack => "stack",
            Self::Library => "library",
            Self::File => "file",
            Self::Executable => "executable",
            Self::Link => "link",
            Self::Free => "free",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "memory of the system's allocator",
            Self::Stack => "the stack",
            Self::Library => "a shared library",
            Self::File => "a mapped file",
            Self::Executable | Self::Link => "the executable",
            Self::Free => "free memory of the heap",
        })
    }
}

/// The memory that a process has mapped, but for the heap; or none, of a process that is gone.
#[derive(Default, Debug)]
pub struct Targets {
    /// Rising, and apart.
    ranges: Vec<(Range<u64>, Target, String)>,
}

impl Targets {
    /// What this process has mapped now.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn of_process(arena: &Range<u64>) -> io::Result<Self> {
        let program = std::fs::read_link("/proc/self/exe")?;
        let own = ExecutableIdentity::current().range();
        let mappings = os::occupants(0..usize::MAX)?;
        Ok(Self::of(mappings, arena, &own, &program.to_string_lossy()))
    }

    /// `own` is where this crate's code lies, in the program or in a library.
    fn of(mappings: Vec<Mapping>, arena: &Range<u64>, own: &Range<u64>, program: &str) -> Self {
        let mut ranges: Vec<(Range<u64>, Target, String)> = Vec::new();
        for Mapping { addresses, access, name } in mappings {
            let range = addresses.start as u64..addresses.end as u64;
            let is_heap = arena.start < range.end && range.start < arena.end;
            // What may not even be read is address space that somebody has reserved.
            if is_heap || access.starts_with("---") || name == "[vsyscall]" {
                continue;
            }
            let mut found = (target(&name, program), name);
            if own.contains(&range.start) {
                found.0 = Target::Executable;
            } else if let (Target::System, Some((before, target, name))) = (&found.0, ranges.last())
                && before.end == range.start
                && matches!(target, Target::Library | Target::Executable)
            {
                // Their data that are zero at first lie right behind the others.
                found = (*target, name.clone());
            }
            if found.1.is_empty() {
                "memory without a name".clone_into(&mut found.1);
            }
            ranges.push((range, found.0, found.1));
        }
        Self { ranges }
    }

    /// The least range that has them all.
    pub(super) fn bounds(&self) -> Range<u64> {
        match (self.ranges.first(), self.ranges.last()) {
            (Some(first), Some(last)) => first.0.start..last.0.end,
            _ => 0..0,
        }
    }

    /// What an address leads to, and the name of that.
    pub(super) fn find(&self, address: u64) -> Option<(Target, &str)> {
        let after = self.ranges.partition_point(|(range, ..)| range.start <= address);
        let (range, target, name) = self.ranges.get(after.checked_sub(1)?)?;
        range.contains(&address).then_some((*target, name))
    }
}

fn target(name: &str, program: &str) -> Target {
    match name {
        "[stack]" => Target::Stack,
        "[vdso]" | "[vvar]" | "[vvar_vclock]" => Target::Library,
        _ if name == program => Target::Executable,
        _ if name.contains(".so") && name.starts_with('/') => Target::Library,
        _ if name.starts_with('/') => Target::File,
        // `[heap]`, `[anon:...]`, and what has no name.
        _ => Target::System,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(start: usize, access: &str, name: &str) -> Mapping {
        let (access, name) = (access.to_owned(), name.to_owned());
        Mapping { addresses: start..start + 0x1000, access, name }
    }

    #[test]
    fn mappings_are_what_their_names_say() {
        let mappings = vec![
            mapping(0x1000, "r-xp", "/bin/program"),
            mapping(0x2000, "rw-p", ""),
            mapping(0x4000, "rw-p", "[heap]"),
            mapping(0x6000, "---p", ""),
            mapping(0x8000, "r--p", "/lib/libc.so.6"),
            mapping(0xa000, "rw-p", "/tmp/data"),
            mapping(0xb000, "rw-p", ""),
            mapping(0x10000, "rw-p", ""),
            mapping(0x20000, "rw-p", "[stack]"),
        ];
        let targets = Targets::of(mappings, &(0x10000..0x11000), &(0..0), "/bin/program");
        let found = |address| targets.find(address).map(|(target, _)| target);
        assert_eq!(targets.find(0x1fff), Some((Target::Executable, "/bin/program")));
        assert_eq!(found(0x2000), Some(Target::Executable), "its data that are zero at first");
        assert_eq!(targets.find(0x4000), Some((Target::System, "[heap]")));
        assert_eq!(targets.find(0xb000), Some((Target::System, "memory without a name")));
        assert_eq!([found(0x8000), found(0xa000)], [Some(Target::Library), Some(Target::File)]);
        assert_eq!(found(0x20fff), Some(Target::Stack));
        for nothing in [0, 0xfff, 0x3000, 0x6000, 0x9000, 0x10000, 0x21000, u64::MAX] {
            assert_eq!(found(nothing), None, "{nothing:#x}");
        }
        assert_eq!(targets.bounds(), 0x1000..0x21000);
        assert_eq!(Targets::default().find(7), None);
    }

    #[test]
    fn this_process_has_code_a_stack_and_memory() {
        let targets = Targets::of_process(&(0..1)).unwrap();
        let (local, boxed) = (0_u8, Box::new([0_u8; 100]));
        let found = |address: usize| targets.find(address as u64).map(|(target, _)| target);
        assert_eq!(found("text".as_ptr().addr()), Some(Target::Executable));
        let libc: unsafe extern "C" fn() -> ! = libc::abort;
        assert_eq!(found(libc as usize), Some(Target::Library));
        assert_eq!(found((&raw const *boxed).addr()), Some(Target::System));
        // Tests run in threads of their own.
        assert_eq!(found((&raw const local).addr()), Some(Target::System));
    }
}
