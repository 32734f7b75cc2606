//! `heatmap`: a picture of a heap, a pixel a page.
//!
//! ```text
//! legend
//! number  |tables| |chunk 1| |chunk 2| ... |chunk 31|     one row for each cell in use
//! ```

use crate::{
    Outcome,
    args::{By, Heatmap},
    canvas::{self, FREE, GONE, LETTER_HEIGHT, LETTER_WIDTH, SAME, Strip, ZERO, ramp},
    diff::{Change, changes},
    failure::{Failure, USAGE},
    folder::{Folder, Opened, is_taken, split},
    kinds::Content,
    survey::Survey,
    text,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, io, io::Write};
use stillheap::{
    base::{CHUNKS_PER_CELL, CellIndex, PAGES_PER_CELL, PAGES_PER_CHUNK, PageIndex, PageRun},
    os::{Dir, DiskDir, TEMPORARY_PREFIX},
    snapshot::{ChunkUse, uses_in},
};

/// A chunk's block of pixels, and the gaps between blocks.
const BLOCK: (usize, usize) = (16, 32);
const GAP: usize = 2;
const _: () = assert!(BLOCK.0 * BLOCK.1 == PAGES_PER_CHUNK as usize, "a pixel a page");
/// Room for a cell's number.
const LEFT: usize = 7 * LETTER_WIDTH;
const WIDTH: usize = LEFT + CHUNKS_PER_CELL as usize * (BLOCK.0 + GAP) + GAP;
const ROW: usize = BLOCK.1 + GAP;
const LEGEND: usize = 4 * (LETTER_HEIGHT + 6);

#[derive(Serialize)]
struct Report {
    file: String,
    by: &'static str,
    snapshot: u64,
    width: usize,
    height: usize,
    cells: usize,
    pages_painted: u64,
}

/// What gives a page its colour.
enum Paint {
    Age { segments: usize },
    Heat(BTreeMap<u32, u32>),
    Reads(BTreeMap<u32, u32>),
    Change(BTreeMap<u32, Change>),
}

pub(crate) fn run(args: &Heatmap) -> Result<Outcome, Failure> {
    let folder = Folder::open(&args.chosen.at.heap)?;
    let opened = folder.snapshot(args.chosen.snapshot)?;
    let survey = Survey::of(&opened.chain)?;
    let (dir, name) = split(&args.file)?;
    if dir.path() == folder.dir.path() || (is_taken(&dir, &name) && !args.force) {
        let what = "is there already, or in the heap's directory: give another name, or --force";
        return Err(Failure::new(USAGE, format!("{} {what}", args.file.display())));
    }
    let paint = match args.by {
        By::Age => Paint::Age { segments: opened.chain.segments().len() },
        By::Heat => Paint::Heat(by_chunk(&opened, |known| known.written)),
        By::Reads => Paint::Reads(by_chunk(&opened, |known| known.read)),
        By::Change => {
            let since = folder.snapshot(args.since)?;
            let mut found = BTreeMap::new();
            changes(&since.chain, &opened.chain, |page, change| {
                found.insert(page.0, change);
            });
            Paint::Change(found)
        }
    };
    let spans = survey.cells.iter();
    let cells: Vec<u32> = spans.flat_map(|cell| cell.first.0..cell.first.0 + cell.span).collect();
    let height = LEGEND + cells.len() * ROW + GAP;
    let title = title(args, &opened);
    let draw = |out: &mut dyn Write| {
        let mut encoder = canvas::encoder(out, WIDTH, height)?;
        let mut stream = encoder.stream_writer()?;
        stream.write_all(legend(&title, &paint, &opened).pixels())?;
        let mut painted = 0;
        for &cell in &cells {
            let colours = colours(CellIndex(cell), &opened, &survey, &paint);
            painted += colours.iter().filter(|&&colour| colour != FREE).count() as u64;
            stream.write_all(row(cell, &colours).pixels())?;
        }
        stream.write_all(Strip::new(WIDTH, GAP).pixels())?;
        stream.finish()?;
        Ok(painted)
    };
    let painted = save(&dir, &name, args.force, draw)
        .map_err(|error| Failure::io("write", &args.file, &error))?;
    Outcome::of(&Report {
        file: dir.path_of(&name).display().to_string(),
        by: args.by.name(),
        snapshot: opened.snapshot.number,
        width: WIDTH,
        height,
        cells: cells.len(),
        pages_painted: painted,
    })
}

/// Puts the picture in place when it is complete.
fn save(
    dir: &DiskDir,
    name: &str,
    force: bool,
    draw: impl FnOnce(&mut dyn Write) -> io::Result<u64>,
) -> io::Result<u64> {
    let mut file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(dir.path())?;
    let painted = draw(&mut io::BufWriter::new(&mut file))?;
    file.as_file().sync_all()?;
    let path = dir.path_of(name);
    let placed = if force { file.persist(path) } else { file.persist_noclobber(path) };
    placed.map_err(|failed| failed.error)?;
    dir.sync()?;
    Ok(painted)
}

/// What is known of chunks.
fn by_chunk(opened: &Opened, what: impl Fn(&ChunkUse) -> u32) -> BTreeMap<u32, u32> {
    let notes = opened.chain.segments().last().map_or(&[][..], |last| last.notes());
    uses_in(notes).map(|known| (known.chunk.0, what(&known))).collect()
}

/// A step for none, and one for each doubling.
fn doublings(count: u32) -> usize {
    (u32::BITS - count.leading_zeros()) as usize
}

/// The colours of a cell's pages.
fn colours(cell: CellIndex, opened: &Opened, survey: &Survey, paint: &Paint) -> Vec<u8> {
    let first = cell.first_page().0;
    let mut colours = vec![FREE; PAGES_PER_CELL as usize];
    let place = |page: u32| (page - first) as usize;
    let end = u64::from(first) + u64::from(PAGES_PER_CELL);
    for stretch in survey.from(PageIndex(first)).filter(|one| one.content != Content::Tables) {
        if u64::from(stretch.first.0) >= end {
            break;
        }
        let start = u64::from(stretch.first.0);
        // A block may go through several cells.
        let (from, to) = (start.max(first.into()), (start + u64::from(stretch.count)).min(end));
        for page in from..to {
            colours[usize::try_from(page - u64::from(first)).unwrap_or(0)] = ZERO;
        }
    }
    let run = PageRun { first: PageIndex(first), count: PAGES_PER_CELL };
    for found in opened.chain.in_force_within(run) {
        colours[place(found.page.0)] = match paint {
            Paint::Age { segments } => ramp(found.segment, segments.saturating_sub(1)),
            Paint::Heat(heat) => {
                ramp(heat.get(&found.page.chunk().0).map_or(0, |&heat| heat as usize), 8)
            }
            Paint::Reads(reads) => {
                let read = reads.get(&found.page.chunk().0).copied().unwrap_or(0);
                ramp(doublings(read), doublings(PAGES_PER_CHUNK))
            }
            Paint::Change(_) => SAME,
        };
    }
    if let Paint::Change(changes) = paint {
        for (&page, &change) in changes.range(first..=first + (PAGES_PER_CELL - 1)) {
            colours[place(page)] = colour_of(change);
        }
    }
    colours
}

fn colour_of(change: Change) -> u8 {
    match change {
        Change::Changed => ramp(2, 2),
        Change::New => ramp(1, 2),
        Change::Zeroed => GONE,
    }
}

/// A cell's row.
fn row(cell: u32, colours: &[u8]) -> Strip {
    let mut strip = Strip::new(WIDTH, ROW);
    strip.write((LETTER_WIDTH / 2, (ROW - LETTER_HEIGHT) / 2), &cell.to_string());
    for (chunk, pages) in colours.chunks(BLOCK.0 * BLOCK.1).enumerate() {
        let left = LEFT + chunk * (BLOCK.0 + GAP);
        for (page, &colour) in pages.iter().enumerate() {
            strip.set(left + page % BLOCK.0, GAP + page / BLOCK.0, colour);
        }
    }
    strip
}

fn title(args: &Heatmap, opened: &Opened) -> String {
    let number = opened.snapshot.number;
    let since = args.since.filter(|_| args.by == By::Change);
    let since = since.map_or(String::new(), |since| format!(" since snapshot {since}"));
    format!("snapshot {number} by {}{since}", args.by.name())
}

/// What the colours mean.
fn legend(title: &str, paint: &Paint, opened: &Opened) -> Strip {
    let mut strip = Strip::new(WIDTH, LEGEND);
    let line = LETTER_HEIGHT + 6;
    strip.write((LETTER_WIDTH, 6), title);
    let segments = opened.chain.segments();
    let of = |place: usize| segments.get(place).map_or(0, |one| one.header().snapshot);
    let (cold, hot, steps) = match paint {
        Paint::Age { segments } => {
            let last = segments.saturating_sub(1);
            (format!("written in {}", of(0)), of(last).to_string(), last)
        }
        Paint::Heat(_) => ("written in 0".to_owned(), "8 of 8 epochs".to_owned(), 8),
        Paint::Reads(_) => {
            let last = doublings(PAGES_PER_CHUNK);
            ("0 of the blocks".to_owned(), format!("{PAGES_PER_CHUNK} read last"), last)
        }
        Paint::Change(_) => {
            let keys = [("changed", ramp(2, 2)), ("new", ramp(1, 2)), ("zero", GONE)];
            keyed(&mut strip, line + 6, &keys);
            keyed(
                &mut strip,
                2 * line + 6,
                &[("same", SAME), ("free", FREE), ("in use, zero", ZERO)],
            );
            return strip;
        }
    };
    let top = line + 6;
    let left = strip.write((LETTER_WIDTH, top), &cold) + LETTER_WIDTH;
    let width = 128;
    for x in 0..width {
        // As many colours as there are steps.
        let step = x * (steps + 1) / width;
        strip.fill((left + x, top), (1, LETTER_HEIGHT), ramp(step, steps));
    }
    strip.write((left + width + LETTER_WIDTH, top), &hot);
    keyed(&mut strip, 2 * line + 6, &[("free", FREE), ("in use, zero", ZERO)]);
    strip
}

fn keyed(strip: &mut Strip, top: usize, keys: &[(&str, u8)]) {
    let mut left = LETTER_WIDTH;
    for (text, colour) in keys {
        strip.fill((left, top), (2 * LETTER_WIDTH, LETTER_HEIGHT), *colour);
        left = strip.write((left + 3 * LETTER_WIDTH, top), text) + 2 * LETTER_WIDTH;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = (self.width, self.height);
        let (cells, pages) = (self.cells, text::count(self.pages_painted));
        writeln!(f, "{}: {width} x {height} pixels, {cells} cells, {pages} pages", self.file)
    }
}
