//! Finding mistakes in what roots lead to: what a root's stored type says of it decides which
//! pointers it may have, and names the field that a word lies in.

use crate::runtime::{Heap, LookError};
use crate::trace::{Audit, Known, Leaks, Source, Targets, Trace};
use crate::typed::{Link, Schema};

impl Heap {
    /// Takes a snapshot, waits until it is durable, and looks in it for pointers that leave the
    /// heap: words in what the roots lead to that are addresses of the system's allocator, stacks,
    /// libraries, files or the executable. In the next run these lead to nothing, or to something
    /// else. Safe code makes none; unsafe code may, and so may C code. Some seconds for each GiB;
    /// other threads go on meanwhile.
    ///
    /// ```no_run
    /// # fn look(heap: &stillheap::Heap) -> Result<(), Box<dyn std::error::Error>> {
    /// let audit = heap.audit()?;
    /// assert_eq!(audit.findings(), 0, "{audit}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the snapshot cannot be taken ([`Heap::snapshot`] says when), or not be read.
    #[allow(clippy::redundant_closure, reason = "the function is for one lifetime, this for all")]
    pub fn audit(&self) -> Result<Audit, LookError> {
        self.look(|trace, snapshot, targets| audit(trace, snapshot, targets))
    }

    /// Takes a snapshot, waits until it is durable, and looks in it for blocks to which no root
    /// leads: memory of roots that has been lost, and whatever else the program has in use at the
    /// time. Some seconds for each GiB; other threads go on meanwhile.
    ///
    /// # Errors
    /// If the snapshot cannot be taken ([`Heap::snapshot`] says when), or not be read.
    pub fn leaks(&self) -> Result<Leaks, LookError> {
        self.look(|trace, snapshot, _| Leaks::find(trace, snapshot))
    }
}

/// Looks for pointers that leave the heap, in a trace of the snapshot with that number that has not
/// been run.
///
/// # Errors
/// If a page cannot be had.
pub fn audit<S: Source>(
    trace: &mut Trace<S>,
    snapshot: u64,
    targets: &Targets,
) -> Result<Audit, S::Error> {
    let (mut types, mut known) = (Vec::new(), Vec::new());
    for root in trace.roots().to_vec() {
        let bytes = trace.bytes(root.schema, root.schema_len.into())?;
        let schema = Schema::from_bytes(&bytes).ok();
        // Of a root whose type cannot be read nothing is known.
        let link = schema.as_ref().map_or(Link::Pinned, Schema::link);
        // A Rust value is followed by a byte that is not its own. Values of other languages may
        // have room as they like.
        let own = schema.as_ref().map(|schema| schema.root().size).filter(|len| *len < root.size);
        let (is_linked, value_len) = (link != Link::None, own.unwrap_or(u64::MAX));
        known.push(Known { is_linked, value_len });
        types.push((root, schema));
    }
    let mut audit = Audit::of(trace, snapshot, targets, &known)?;
    for finding in &mut audit.examples {
        let value = types.iter().find(|(root, _)| root.value == finding.address);
        let schema = value.and_then(|(_, schema)| schema.as_ref());
        let schema = schema.filter(|schema| finding.offset < schema.root().size);
        finding.field = schema.map(|schema| schema.place_of(finding.offset));
    }
    Ok(audit)
}
