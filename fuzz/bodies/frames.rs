//! What the fuzzer `frames` does with an input: it writes a compressed delta with pages that the
//! input describes, then damages its frames, gives them right checksums again, and reads. What is
//! read is an error or pages with the checksums of the index; nothing else than what was written,
//! if nothing was damaged.

use stillheap::{
    base::{PAGE_SIZE, PageIndex, PageRun, crc32},
    image::{
        Compression, Identity, Machine, SegmentInfo, SegmentNumber, SegmentReader, SegmentSummary,
        SegmentWriter,
    },
    os::sim::{SimDir, SimFile},
};

const NAME: &str = "0000000002.delta";
/// Pages that an input can have.
const PAGES: usize = 80;

/// Writes, damages, reads.
pub(crate) fn run(data: &[u8]) {
    let Some((&[way, count], rest)) = data.split_first_chunk::<2>() else { return };
    let count = usize::from(count) % PAGES + 1;
    let (fills, damage) = rest.split_at(count.min(rest.len()));
    let pages: Vec<[u8; PAGE_SIZE]> = fills.iter().map(|&fill| page(fill)).collect();
    let compression = match way % 3 {
        0 => Compression::None,
        _ if Compression::Zstd(1).is_supported() && way % 3 == 2 => Compression::Zstd(1),
        _ => Compression::Lz4,
    };
    let dir = SimDir::new();
    let summary = write(&dir, compression, &pages);
    check(&dir, &summary, Some(&pages));
    if damage.len() >= 6 {
        spoil(&dir, damage);
        let header = dir.get(NAME).expect("it was written");
        let mut summary = summary;
        summary.record.header_crc =
            header[252..256].first_chunk().map_or(0, |crc| u32::from_le_bytes(*crc));
        check(&dir, &summary, None);
    }
}

/// A page of a kind: zero, easy to compress, or hard.
fn page(fill: u8) -> [u8; PAGE_SIZE] {
    let mut page = [fill; PAGE_SIZE];
    if fill >= 0x80 {
        let mut state = u64::from(fill);
        for byte in &mut page {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            *byte = state.to_le_bytes()[7];
        }
    }
    page
}

fn identity() -> Identity {
    Identity {
        heap_id: 7,
        base: 0x2000_0000_0000,
        arena_len: 16 << 40,
        page_size: 4096,
        machine: Machine::X86_64,
    }
}

fn write(dir: &SimDir, compression: Compression, pages: &[[u8; PAGE_SIZE]]) -> SegmentSummary {
    let info = SegmentInfo {
        identity: identity(),
        number: SegmentNumber::FIRST.next().expect("two"),
        parent: Some(1),
        snapshot: 2,
        frozen_at: 1,
        operations: 1,
        compression,
    };
    let runs = [PageRun { first: PageIndex(0), count: PAGES as u32 }];
    let mut writer = SegmentWriter::create(dir, &info, &runs).expect("a simulated disk");
    // In two calls, the later pages first.
    let (first, second) = pages.split_at(pages.len() / 2);
    let at = PageIndex(u32::try_from(first.len()).expect("few"));
    writer.write_pages(at, second.as_flattened()).expect("room");
    writer.write_pages(PageIndex(0), first.as_flattened()).expect("room");
    writer.finish(b"notes").expect("room").sync().expect("a simulated disk")
}

/// Changes bytes of the file, and seals all that has a checksum, but the index.
fn spoil(dir: &SimDir, damage: &[u8]) {
    dir.damage(NAME, |bytes| {
        for change in damage.as_chunks::<6>().0.iter().take(16) {
            let [a, b, c, how, value, _] = *change;
            let at = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
            let len = bytes.len();
            let byte = &mut bytes[4096 + at % (len - 4096)];
            *byte = if how % 2 == 0 { value } else { byte.wrapping_add(value) };
        }
        let field =
            |at: usize| bytes[at..].first_chunk().map_or(0, |field| u64::from_le_bytes(*field));
        let low =
            |at: usize| bytes[at..].first_chunk().map_or(0, |field| u32::from_le_bytes(*field));
        let [pages, tables, notes] = [120, 128, 136].map(|at| field(at) as usize);
        let frames = tables + pages * 32;
        let mut offset = 4096;
        let mut crcs = Vec::new();
        for frame in 0..low(108) as usize {
            let at = frames + frame * 16;
            let end = offset + low(at) as usize;
            let Some(data) = bytes.get(offset..end.min(tables)) else { break };
            crcs.push((at + 12, if low(at + 8) == 0 { 0 } else { crc32(data) }));
            offset = end;
        }
        for (at, crc) in crcs {
            bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        }
        for (at, part) in [(116, tables..notes), (160, notes..bytes.len())] {
            let crc = crc32(&bytes[part]);
            bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        }
        let crc = crc32(&bytes[..252]);
        bytes[252..256].copy_from_slice(&crc.to_le_bytes());
    });
}

fn check(dir: &SimDir, summary: &SegmentSummary, written: Option<&[[u8; PAGE_SIZE]]>) {
    let reader: SegmentReader<SimFile> =
        match SegmentReader::open(dir, &summary.record, &identity()) {
            Ok(reader) => reader,
            Err(error) => {
                assert!(written.is_none(), "{error}");
                return;
            }
        };
    let is_sound = reader.verify().is_ok();
    for place in 0..reader.index().len() {
        let entry = reader.index().get(place).expect("an entry");
        if let (Ok(page), true) = (reader.saved_page(place), is_sound) {
            assert_eq!(crc32(&page), entry.crc);
        }
    }
    for (number, page) in (0..).zip(written.unwrap_or_default()) {
        let found = reader.page(PageIndex(number)).expect("sound").expect("it was stated");
        assert!(*found == page[..], "page {number}");
    }
    assert!(is_sound || written.is_none());
}
