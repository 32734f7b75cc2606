//! Which pages differ from the snapshot before: told by their digests, never by a CRC.
//!
//! A window knows which units may have changed: pages whose writes were announced, chunks whose
//! protection was lifted. What of these really did, a page's digest tells beside the one that
//! the snapshot before has of it.

use crate::base::{
    ChunkIndex, Digest, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex, PageRun, digest_seeded,
};
use crate::image::Chain;
use crate::os::File;

/// Compares pages with those of the snapshot before.
#[derive(Debug)]
pub(super) struct Sieve<'a, F> {
    parent: Option<&'a Chain<F>>,
    seed: u64,
    /// The chunk whose pages' digests are at hand.
    chunk: Option<ChunkIndex>,
    before: Vec<Option<Digest>>,
}

/// A page's digest, now and in the snapshot before; `None`: it is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sifted {
    pub(super) now: Option<Digest>,
    pub(super) before: Option<Digest>,
}

impl Sifted {
    /// Whether the page differs from what it was.
    pub(super) fn differs(self) -> bool {
        self.now != self.before
    }
}

impl<'a, F: File> Sieve<'a, F> {
    /// A sieve for pages with digests of that seed. Without a snapshot before all pages but zero
    /// ones are new.
    pub(super) fn new(parent: Option<&'a Chain<F>>, seed: u64) -> Self {
        let before = Vec::with_capacity(PAGES_PER_CHUNK as usize);
        Self { parent, seed, chunk: None, before }
    }

    /// Another one for the same.
    pub(super) fn another(&self) -> Self {
        Self::new(self.parent, self.seed)
    }

    /// Compares a page's bytes.
    pub(super) fn sift(&mut self, page: PageIndex, bytes: &[u8]) -> Sifted {
        let now = (*bytes != [0; PAGE_SIZE]).then(|| digest_seeded(bytes, self.seed));
        Sifted { now, before: self.before(page.chunk())[page.within_chunk() as usize] }
    }

    /// The pages of a chunk that the snapshot before has and `is_in_use` does not want any more.
    pub(super) fn dropped(
        &mut self,
        chunk: ChunkIndex,
        is_in_use: impl Fn(PageIndex) -> bool,
    ) -> Vec<PageRun> {
        let first = chunk.first_page();
        let mut runs: Vec<PageRun> = Vec::new();
        for (page, before) in (first.0..).map(PageIndex).zip(self.before(chunk)) {
            if before.is_none() || is_in_use(page) {
                continue;
            }
            match runs.last_mut().filter(|run| run.pages().end == u64::from(page.0)) {
                Some(run) => run.count += 1,
                None => runs.push(PageRun { first: page, count: 1 }),
            }
        }
        runs
    }

    fn before(&mut self, chunk: ChunkIndex) -> &[Option<Digest>] {
        if self.chunk != Some(chunk) {
            let run = PageRun { first: chunk.first_page(), count: PAGES_PER_CHUNK };
            match self.parent {
                Some(parent) => parent.digests(run, &mut self.before),
                None => self.before.resize(PAGES_PER_CHUNK as usize, None),
            }
            self.chunk = Some(chunk);
        }
        &self.before
    }
}
