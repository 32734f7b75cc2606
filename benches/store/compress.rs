//! Whole snapshots, compressed.

use crate::db::Db;
use crate::shared::{Error, Folder, Random, in_child, median, metric, milliseconds, tell};
use crate::{HEAP, data};
use std::path::Path;
use std::time::Instant;
use stillheap::{Compression, Options, Restore, Root, XTree};

const HEAPS: [&str; 2] = ["cities", "xtree"];
const POINTS: u64 = 1_000_000;

/// The codecs that this build has.
fn codecs() -> Vec<(&'static str, Compression)> {
    let all = [
        ("none", Compression::None),
        ("lz4", Compression::Lz4),
        ("zstd1", Compression::Zstd(1)),
        ("zstd3", Compression::Zstd(3)),
    ];
    all.into_iter().filter(|(_, compression)| compression.is_supported()).collect()
}

pub(crate) fn run(folder: &Folder, rounds: usize) -> Result<(), Error> {
    for heap in HEAPS {
        for (codec, _) in codecs() {
            eprintln!("compress: {heap}, {codec}, {rounds} rounds");
            let part = folder.part()?;
            let dir = part.path().to_str().ok_or("the folder's name is not text")?;
            let told = in_child(&["compress", dir, heap, codec, &rounds.to_string()])?;
            let mut opening = Vec::new();
            for _ in 0..rounds {
                opening.push(in_child(&["load", dir, heap])?.last("opening")?);
            }
            let name = format!("store.compress.{heap}.{codec}");
            let bytes = told.last::<f64>("pages")? * 4096.0;
            let rate = |time: f64| bytes / f64::from(1 << 20) / time * 1000.0;
            metric(&format!("{name}.ratio"), bytes / told.last::<f64>("bytes")?, "ratio");
            metric(&format!("{name}.write_mib_s"), rate(median(told.all("saving"))), "MiB/s");
            metric(&format!("{name}.load_mib_s"), rate(median(opening)), "MiB/s");
        }
    }
    Ok(())
}

pub(crate) fn child_save(dir: &Path, name: &str, codec: &str, rounds: usize) -> Result<(), Error> {
    let codec = codecs().into_iter().find(|(name, _)| *name == codec);
    let (_, compression) = codec.ok_or("no such codec")?;
    let options = Options::new().keep(1).spare(false).increments(false);
    let heap = HEAP.open(dir, options.compression(compression, compression))?;
    match name {
        "cities" => {
            let root: Root<Db> = heap.root("cities")?;
            for place in data::places() {
                let place = place.map_err(|error| error.to_string())?;
                root.write(|db| db.add(place))?;
            }
        }
        _ => {
            let root: Root<XTree<2, u64>> = heap.root("points")?;
            let mut random = Random::new(2);
            for number in 0..POINTS {
                let point = [random.unit(), random.unit()];
                root.write(|tree| tree.insert(point, number))?;
            }
        }
    }
    // The first one warms up.
    for round in 0..=rounds {
        let info = heap.snapshot()?.wait_durable()?;
        if round > 0 {
            tell("saving", milliseconds(info.saving));
        }
        tell("pages", info.pages);
        tell("bytes", info.bytes);
    }
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}

pub(crate) fn child_load(dir: &Path, name: &str) -> Result<(), Error> {
    let options = Options::new().create(false).restore(Restore::Load).restart_on_collision(true);
    let begun = Instant::now();
    let heap = HEAP.open(dir, options)?;
    tell("opening", milliseconds(begun.elapsed()));
    match name {
        "cities" => heap.root::<Db>("cities")?.read(Db::audit)?,
        _ => heap.root::<XTree<2, u64>>("points")?.read(|tree| match tree.validate() {
            Ok(()) if tree.len() as u64 == POINTS => Ok(()),
            Ok(()) => Err(format!("{} points came back", tree.len())),
            Err(error) => Err(error.to_string()),
        })?,
    }
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}
