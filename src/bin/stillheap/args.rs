//! The commands and their arguments. What `--help` says of them are their comments, and `help`.

use crate::help;
use clap::{Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};
use stillheap::image::Compression;

/// Looks into the directory of a stillheap, checks it, and changes what it keeps.
#[derive(Debug, Parser)]
#[command(name = "stillheap", version, after_help = help::CODES, max_term_width = 90)]
pub(crate) struct Args {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the snapshots: when, how large, in which files
    #[command(after_help = help::LIST)]
    List(Heap),
    /// Show what is in a snapshot: roots and their types, the allocator's use of memory, heat
    #[command(after_help = help::INSPECT)]
    Inspect(Inspect),
    /// Check every page of one snapshot or of all
    #[command(after_help = help::VERIFY)]
    Verify(Verify),
    /// Find pointers in a snapshot that leave the heap
    #[command(after_help = help::AUDIT)]
    Audit(Chosen),
    /// Find blocks in a snapshot to which no root leads
    #[command(after_help = help::LEAKS)]
    Leaks(Chosen),
    /// Compare two snapshots page by page
    #[command(after_help = help::DIFF)]
    Diff(Diff),
    /// Forget old snapshots and remove the files that only they need
    #[command(after_help = help::PRUNE)]
    Prune(Prune),
    /// Merge the newest snapshot's files into one
    #[command(after_help = help::COMPACT)]
    Compact(Compact),
    /// Make an older snapshot the one that is opened next
    #[command(after_help = help::REVERT)]
    Revert(Revert),
    /// Write a snapshot into one compressed file, to copy, send and keep
    #[command(after_help = help::EXPORT)]
    Export(Export),
    /// Make a new heap of an exported file
    #[command(after_help = help::IMPORT)]
    Import(Import),
    /// Paint a heap: one pixel a page, by age, heat, reads or change
    #[command(after_help = help::HEATMAP)]
    Heatmap(Heatmap),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Heap {
    /// The heap's directory
    #[arg(value_name = "HEAP")]
    pub(crate) heap: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Chosen {
    #[command(flatten)]
    pub(crate) at: Heap,
    /// Which snapshot; the newest that counts, if not given
    #[arg(long, short, visible_alias = "at", value_name = "N")]
    pub(crate) snapshot: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// Say at which offset each field lies
    #[arg(long)]
    pub(crate) layout: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// Check all snapshots
    #[arg(long, conflicts_with = "snapshot")]
    pub(crate) all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) at: Heap,
    /// The snapshot that is compared with
    #[arg(value_name = "A")]
    pub(crate) from: u64,
    /// The snapshot of which is told what is other in it
    #[arg(value_name = "B")]
    pub(crate) to: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    pub(crate) at: Heap,
    /// Keep the N newest snapshots that count; at least one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep: u32,
    /// Keep also those that are not older than this: 90s, 15m, 24h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) keep_for: Option<Duration>,
    /// Keep no spare: with N above 1, the newest snapshot that shares no file with the newest of
    /// all is otherwise kept as well, so that no single damaged file takes everything
    #[arg(long)]
    pub(crate) no_spare: bool,
    /// Say what would be forgotten, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Compact {
    #[command(flatten)]
    pub(crate) at: Heap,
    /// none, lz4, zstd or zstd:LEVEL; as the full segment is now, if not given
    #[arg(long, value_name = "HOW", value_parser = compression)]
    pub(crate) compression: Option<Compression>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Revert {
    #[command(flatten)]
    pub(crate) at: Heap,
    /// The snapshot's number
    #[arg(value_name = "N")]
    pub(crate) number: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// The file to be written; it must not be there
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// none, lz4, zstd or zstd:LEVEL
    #[arg(long, value_name = "HOW", default_value = "lz4", value_parser = compression)]
    pub(crate) compression: Compression,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The exported file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) to: Heap,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Heatmap {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// The PNG to be written; it must not be there
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What colours mean
    #[arg(long, value_enum, default_value = "age")]
    pub(crate) by: By,
    /// The snapshot to compare with, for --by change
    #[arg(long, value_name = "M", required_if_eq("by", "change"))]
    pub(crate) since: Option<u64>,
    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// What the colours of a picture mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// In how many of the last eight epochs the page's chunk was written
    Heat,
    /// How many of the blocks that were read last begin in the page's chunk
    Reads,
    /// With which file of the snapshot's chain the page was last written
    Age,
    /// What became of the page since snapshot M
    Change,
}

impl By {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Heat => "heat",
            Self::Reads => "reads",
            Self::Age => "age",
            Self::Change => "change",
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}': expected a number and s, m, h or d, such as 24h");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

fn compression(text: &str) -> Result<Compression, String> {
    let level = |text: &str| text.parse().ok().filter(|level| (1..=22).contains(level));
    let chosen = match text.split_once(':') {
        None if text == "none" => Compression::None,
        None if text == "lz4" => Compression::Lz4,
        None if text == "zstd" => Compression::Zstd(3),
        Some(("zstd", text)) => level(text).map(Compression::Zstd).ok_or("levels are 1 to 22")?,
        _ => return Err("expected none, lz4, zstd or zstd:LEVEL".to_owned()),
    };
    match chosen.is_supported() {
        true => Ok(chosen),
        false => Err("this build lacks zstd: build it with --features cli,zstd".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn durations_and_compressions_are_read() {
        assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
        for bad in ["", "m", "15", "15w", "-1s", "99999999999999999999d", "18446744073709551615d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(compression("none"), Ok(Compression::None));
        for bad in ["", "gzip", "lz4:1", "zstd:0", "zstd:23", "zstd:x"] {
            assert!(compression(bad).is_err(), "{bad}");
        }
    }
}
