//! The longer parts of what `--help` says: exit codes, what JSON documents hold, examples.

pub(crate) const CODES: &str = "\
Exit codes:
  0  done; and what was looked at is sound
  1  something is damaged or was lost, or mistakes were found (audit, leaks)
  2  wrong arguments, or what should be made is there already
  3  no heap, or no such snapshot or file
  4  the heap is locked: the message names the owner
  5  input or output failed, or the disk is full
  6  sound, but not for this build (another format version, zstd)

Commands that look (list, inspect, verify, audit, leaks, diff, export, heatmap,
prune --dry-run) take no lock and may be used while a program has the heap open.
Commands that change it (prune, compact, revert) need the program to be closed.
With --json there is one JSON document on stdout, also for errors: {\"error\":
{\"code\", \"message\"}}. Sizes in it are in bytes, times in nanoseconds since
1970.";

pub(crate) const LIST: &str = "\
Columns: number; time of the freeze; operations that the heap had seen; pages
and bytes that were written for it; its chain's files, of which the first is
full and the others deltas; the last one's kind; compression; a mark if it is
set aside (opened only when asked for by number).

JSON: heap, heap_id, snapshots [{number, frozen_at, time, operations, pages,
bytes, set_aside, newest, kind, compression [..], files [{name, bytes,
on_disk}]}], files, bytes, bytes_on_disk (all files of the directory; on_disk
counts blocks, and files may be sparse).

Example:
  stillheap list data.heap";

pub(crate) const INSPECT: &str = "\
JSON: heap, identity {heap_id, base, arena_bytes, page_size, machine, format},
snapshot (as in list), roots [{name, type, address, size, align, fingerprint,
schema, compiler, types [{name, size, align, kind, fields, variants}],
damage}], memory {cells, spans, chunks [{kind, memory, count}], slabs [{class,
block_bytes, slabs, blocks_in_use, blocks, pages}], runs {count, pages}, large
{count, pages}, by_memory [{memory, pages, bytes_in_use}], pages_in_use,
bytes_in_use, pages_saved, table_pages}, heat [nine numbers: chunks written in
0, 1, ... 8 of the last eight epochs].

Examples:
  stillheap inspect data.heap
  stillheap inspect data.heap --snapshot 7 --layout
  stillheap inspect data.heap --json | jq '.roots[].name'";

pub(crate) const VERIFY: &str = "\
Every page of every file of the snapshot is read and compared with its
checksum. Ends with 1 if one is damaged, and names the file, page, offset, and
what was expected and found.

JSON: sound, snapshots [{number, set_aside, sound, pages, zero_pages, error,
file, page, offset, expected, found}] (the last six only where there is
something wrong and they are known).

Examples:
  stillheap verify data.heap --all
  stillheap verify data.heap --snapshot 3 || echo damaged";

pub(crate) const AUDIT: &str = "\
Looks through all that the roots lead to. Offline nobody knows what the process
had mapped: what is found are pointers into the executable, of roots whose types
say nothing of such pointers. Heap::audit in the program finds those to stacks,
libraries and the system's memory, too. Ends with 1 if there are any. Pointers
to free memory of the heap are counted; they are mostly harmless.

JSON: snapshot, findings, roots, blocks, bytes (looked at), counts [{root,
target, words}], examples [{root, target, address, block_bytes, class, memory,
offset, word, mapping, field, around (bytes)}]. Targets: executable; free; link
(an executable that the type tells of).

Examples:
  stillheap audit data.heap
  stillheap audit data.heap --at 7 --json | jq '.counts'";

pub(crate) const LEAKS: &str = "\
Ends with 1 if scoped or tracked memory is lost. Ambient memory to which no root
leads is mostly what the program had in use when the snapshot was taken.

JSON: snapshot, found, lost (each {ambient, scoped, tracked}, of {blocks,
bytes}), by_size [{block_bytes (null: whole pages), large, lost}], heads,
largest [{address, block_bytes, class, memory, retained {blocks, bytes}, cycle,
first_bytes, leads_to [roots]}]: blocks which no other lost block leads to, and
what would be free without them.

Examples:
  stillheap leaks data.heap
  stillheap leaks data.heap --at 7 --json | jq '.lost.scoped'";

pub(crate) const DIFF: &str = "\
Pages are compared by their digests; of their contents nothing but the
allocator's tables is read. 'new' pages were zero or free in A, 'zeroed' ones
are in B. Kinds of memory and size classes are those of B.

JSON: from, to, changed, new, zeroed, total {pages, bytes}, chunks,
chunks_in_use, by_memory [{memory, changed, new, zeroed}], by_content
[{content, block_bytes, changed, new, zeroed}].

Example:
  stillheap diff data.heap 6 7";

pub(crate) const PRUNE: &str = "\
The newest snapshot is verified first: nothing is forgotten while it is
damaged. Snapshots that are set aside and newer than the oldest kept one stay.

JSON: dry_run, forgotten [numbers], kept [numbers], files_removed [{name,
bytes}], bytes_freed.

Examples:
  stillheap prune data.heap --keep 3 --dry-run
  stillheap prune data.heap --keep 1 --keep-for 7d";

pub(crate) const COMPACT: &str = "\
The merged file is verified before the manifest names it. Older snapshots keep
the files that they need: to gain room, prune first.

JSON: merged, segments, pages, bytes, files_before, files_after,
on_disk_before, on_disk_after.

Example:
  stillheap prune data.heap --keep 1 && stillheap compact data.heap";

pub(crate) const REVERT: &str = "\
The snapshot is verified first. Those after it are set aside: they stay until
pruned, can be looked at by their numbers, and 'revert' to one of them takes it
back.

JSON: newest, set_aside [numbers].

Example:
  stillheap list data.heap && stillheap revert data.heap 5";

pub(crate) const EXPORT: &str = "\
The file appears complete, verified and durable, or not at all (an export that
is interrupted leaves a .tmp- file beside it). It holds the whole snapshot and
needs no other file; only a program with the same types can use it, on the same
kind of machine.

JSON: file, snapshot, pages, bytes, compression.

Examples:
  stillheap export data.heap today.still
  stillheap export data.heap last-week.still --snapshot 3 --compression zstd:9";

pub(crate) const IMPORT: &str = "\
The file is verified first. HEAP must not be there, or be an empty directory.
The new heap has the same id, and one snapshot, with its number, time and
operations. A failed import leaves nothing; an interrupted one a .tmp-
directory.

JSON: heap, heap_id, snapshot, pages, bytes.

Example:
  stillheap import today.still copy.heap";

pub(crate) const HEATMAP: &str = "\
A row is a cell of 64 MiB, a block of 16 x 32 pixels a chunk of 2 MiB, a pixel
a page of 4 KiB, from left to right and down. The first chunk of a row holds
the tables of the others. Free pages are dark, pages in use that are zero grey.

JSON: file, by, snapshot, width, height, cells, pages_painted.

Examples:
  stillheap heatmap data.heap age.png
  stillheap heatmap data.heap hot.png --by heat
  stillheap heatmap data.heap read.png --by reads
  stillheap heatmap data.heap change.png --by change --since 5";
