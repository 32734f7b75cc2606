//! The codes that functions give, and their names.

use std::ffi::{CStr, c_int};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)*) => {
        /// What a function gives: how it went.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(i32)]
        pub enum Code {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in C.
            #[must_use]
            pub const fn name(self) -> &'static CStr {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    /// Done.
    Ok = 0 c"STILLHEAP_OK",
    /// An argument cannot be meant so: null, not a text, out of range.
    Invalid = 1 c"STILLHEAP_INVALID",
    /// No heap is open.
    NotOpen = 2 c"STILLHEAP_NOT_OPEN",
    /// The process has opened a heap already.
    AlreadyOpen = 3 c"STILLHEAP_ALREADY_OPEN",
    /// Another process has the heap open.
    Locked = 4 c"STILLHEAP_LOCKED",
    /// There is no such heap, snapshot or root.
    NotFound = 5 c"STILLHEAP_NOT_FOUND",
    /// It is damaged.
    Damaged = 6 c"STILLHEAP_DAMAGED",
    /// It is sound, but made for another machine, address, format or build.
    Unsuited = 7 c"STILLHEAP_UNSUITED",
    /// The address range cannot be had.
    NoRange = 8 c"STILLHEAP_NO_RANGE",
    /// Memory of this process lies where the heap's has to be.
    Collision = 9 c"STILLHEAP_COLLISION",
    /// The system refused: files, a full disk, threads.
    System = 10 c"STILLHEAP_SYSTEM",
    /// No memory.
    NoMemory = 11 c"STILLHEAP_NO_MEMORY",
    /// The address is none of a block in use, or not one that may be used so.
    BadBlock = 12 c"STILLHEAP_BAD_BLOCK",
    /// It cannot be done inside a scope.
    InScope = 13 c"STILLHEAP_IN_SCOPE",
    /// It can be done inside a scope only.
    NoScope = 14 c"STILLHEAP_NO_SCOPE",
    /// The root is of another type.
    RootType = 15 c"STILLHEAP_ROOT_TYPE",
    /// The heap has as many roots as it can have.
    TooManyRoots = 16 c"STILLHEAP_TOO_MANY_ROOTS",
    /// A snapshot was not taken, or has not become durable.
    Snapshot = 17 c"STILLHEAP_SNAPSHOT",
    /// This process is a fork of the one that opened the heap.
    Forked = 18 c"STILLHEAP_FORKED",
    /// It cannot be done in an event's callback.
    InCallback = 19 c"STILLHEAP_IN_CALLBACK",
    /// The library has failed: a bug of its own.
    Internal = 20 c"STILLHEAP_INTERNAL",
}

impl Code {
    /// As C has it.
    #[must_use]
    pub const fn number(self) -> c_int {
        self as c_int
    }
}
