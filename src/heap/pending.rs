//! Cells of an image whose tables are looked at later, so that who restarts need not wait for it.
//!
//! A pending cell's memory is there, and the engine knows it; but it has no slots, no notes and no
//! slabs in lists, so nothing is allocated in it, and nothing of it is freed.
//!
//! **Invariant:** who needs a pending cell enters it first, under the heap's lock: who frees or
//! resizes a block of it, who finds no room elsewhere, and who walks through all. Its tables are
//! not believed before they have been checked.

use crate::arena::Purpose;
use crate::base::CellIndex;
use crate::heap::Heap;
use crate::heap::check::Damage;
use crate::heap::facade::Shared;
use crate::os;

/// How long who needs a damaged cell waits for the upkeep thread, which finds the damage as well,
/// to end the process in good order.
const PATIENCE_SECONDS: u32 = 10;

/// Where pending cells are looked for, from the last cell on.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Cells from here on are not pending; 0: none are.
    all: u32,
    /// The same for those in which guarded and tracked memory is allocated.
    roomy: [u32; 2],
}

impl Pending {
    /// Cells have been adopted.
    pub(super) fn begin(&mut self, cells: u32) {
        *self = Self { all: cells, roomy: [cells; 2] };
    }

    fn roomy(&mut self, purpose: Purpose) -> &mut u32 {
        &mut self.roomy[usize::from(purpose == Purpose::Tracked)]
    }
}

impl Heap {
    /// Enters one more cell. `false`: none is pending.
    ///
    /// # Errors
    /// If its tables are damaged. It stays pending, and the next call says the same.
    pub fn enter_next(&self) -> Result<bool, Damage> {
        let mut shared = self.lock();
        while let Some(cell) = shared.pending.all.checked_sub(1).map(CellIndex) {
            if self.arena.is_pending(cell) {
                self.enter(&mut shared, cell)?;
                return Ok(true);
            }
            shared.pending.all = cell.0;
        }
        Ok(false)
    }

    /// Enters all pending cells.
    ///
    /// # Errors
    /// If the tables of one are damaged.
    pub fn enter_all(&self) -> Result<(), Damage> {
        while self.enter_next()? {}
        Ok(())
    }

    /// Enters a pending cell if cells that are live have no room for so many pages.
    pub(super) fn make_room(&self, shared: &mut Shared, purpose: Purpose, pages: u32, align: u32) {
        let first = shared.space.window(&self.arena, purpose.kind()).start;
        let may_be = *shared.pending.roomy(purpose) > first;
        if may_be && !shared.space.has_room(&self.arena, purpose, pages, align) {
            self.enter_for_room(shared, purpose);
        }
    }

    /// Enters the last pending cell of those that room for a purpose may be found in. `false`: none
    /// is left.
    ///
    /// The last one was claimed last, and is the most likely to have room. What a run has put into
    /// a cell of its own the next one finds there; so heaps do not grow with each run.
    pub(super) fn enter_for_room(&self, shared: &mut Shared, purpose: Purpose) -> bool {
        let window = shared.space.window(&self.arena, purpose.kind());
        let next = shared.pending.roomy(purpose);
        *next = (*next).min(window.end);
        while *next > window.start {
            *next -= 1;
            let cell = CellIndex(*next);
            if self.arena.is_pending(cell) {
                // If it is damaged, there is no room in it. The upkeep thread will say so.
                let _ = self.enter(shared, cell);
                return true;
            }
        }
        false
    }

    /// Somebody has a block of this cell, if it is one of an image. `true`: it was pending, and has
    /// been entered.
    #[cold]
    pub(super) fn enter_for_block(&self, cell: CellIndex) -> bool {
        if !self.arena.is_pending(cell) {
            return false;
        }
        let mut waited = 0;
        loop {
            let mut shared = self.lock();
            // Meanwhile another thread may have entered it.
            let is_pending = self.arena.is_pending(cell);
            let entered = if is_pending { self.enter(&mut shared, cell) } else { Ok(()) };
            drop(shared);
            if entered.is_ok() {
                return true;
            }
            if waited == PATIENCE_SECONDS {
                os::fatal(&[
                    "stillheap: tables of the snapshot that this process works on are damaged. ",
                    "Nothing was changed; open an older snapshot (Options::open_at)\n",
                ]);
            }
            waited += 1;
            os::nap(std::time::Duration::from_secs(1));
        }
    }

    fn enter(&self, shared: &mut Shared, cell: CellIndex) -> Result<(), Damage> {
        self.make_live(cell)?;
        self.enter_cell(shared, cell);
        Ok(())
    }

    /// Checks a pending cell, and makes it live. It still has to be entered.
    pub(super) fn make_live(&self, cell: CellIndex) -> Result<(), Damage> {
        self.arena.check_pending(cell)?;
        self.check_chunks(cell)?;
        // Before the cell is live: who looks whether a block of it is in use takes no lock.
        self.build_maps(cell);
        self.arena.enter_pending(cell);
        Ok(())
    }
}
