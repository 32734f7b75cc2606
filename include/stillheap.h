/* stillheap.h: a heap that survives crashes, for C. This file is its manual.
 *
 * The heap lies in a fixed range of addresses. While the program runs, snapshots of it are written
 * to a directory; after a crash the next run maps the newest sound one at the same addresses, so
 * every pointer in it is valid, and nothing is read in or parsed.
 *
 *     stillheap_open("notes.heap", NULL);                        restores, or starts an empty heap
 *     void *found;
 *     stillheap_root_open("notes", "notes 1", sizeof(struct notes), _Alignof(struct notes),
 *                         &found, NULL);                          found again, or new and all zero
 *     struct notes *notes = found;
 *     stillheap_scope_enter();                                    from here ...
 *     struct note *note = stillheap_alloc(sizeof *note);
 *     note->next = notes->first;
 *     notes->first = note;
 *     stillheap_scope_leave();                                    ... to here: whole, or not at all
 *     uint64_t number;
 *     stillheap_snapshot(&number);                                the heap at this instant
 *     stillheap_wait_durable(number, NULL);                       from now on it survives
 *     stillheap_close(NULL);
 *
 * WHAT IS DURABLE. Blocks from stillheap_alloc and its kin, and nothing else: malloc stays the C
 * library's, and so do its blocks, all stacks, and static variables. In durable memory keep
 *   - numbers, characters, structs and arrays of them;
 *   - pointers to durable memory, as they are. They need no care.
 * Do not keep there, for a restart makes it invalid:
 *   - pointers to malloc's memory, to stacks, to static variables and to string literals;
 *   - pointers to functions, and C++ objects with virtual functions: the system loads the program
 *     at another address in each run (ASLR), so they point anywhere afterwards;
 *   - file descriptors, FILE *, threads, sockets, process ids;
 *   - mutexes and the like, unless they are initialised anew in each run: a snapshot may have them
 *     locked by a thread that is gone. Robust and priority-inheriting ones cannot lie there at all.
 * Nothing checks this. A stray pointer comes back as it was, and misleads the run that follows it.
 *
 * SCOPES. Change what a root reaches within a scope only. No snapshot falls into one, so a change
 * is in a snapshot wholly or not at all. A snapshot waits for scopes to end, all within a
 * millisecond: so keep them short, and wait for nothing in them. There is no undoing. If a change
 * cannot be finished, end the process (abort): the last snapshot is whole.
 * A scope is no lock. Threads that share data need their own, and may take it before or within.
 * Memory that no root reaches yet may be written anywhere, and reading needs no scope.
 *
 * THREADS. Any thread may call any function, unless it says otherwise; a scope is the thread's that
 * entered it. A thread that ends in a scope leaves it. Blocks may be freed by any thread.
 * No function may be called in a signal handler. Callbacks must not longjmp or throw.
 *
 * FORKS. A child made by fork after opening has the heap's memory, takes no snapshots, and keeps
 * the directory locked as long as it lives. exec ends that. If other threads were in this library
 * at that moment, only blocks and scopes are sure to work in the child.
 *
 * ERRORS. Functions give one of the codes below, 0 for success; those that give memory give NULL
 * on failure, and stillheap_last_code says why. stillheap_last_error tells in a sentence what went
 * wrong, where, and what to do. A function that fails has changed nothing, unless it says so. Null
 * where a pointer is needed is STILLHEAP_INVALID. Texts are UTF-8; paths are any bytes.
 *
 * THE LIBRARY. Link it (-lstillheap): do not load it with dlopen, and not after the C library. It
 * defines the C library's functions through which the kernel writes to memory (read, recv, poll,
 * getrandom, ...), for while a snapshot is saved the heap is write-protected, and the kernel would
 * fail with EFAULT. They behave as before. What bypasses the C library (io_uring, system calls in
 * assembler) needs stillheap_touch; what the kernel writes at any time (stacks, robust mutexes,
 * aio's control blocks) has to lie outside the heap. README.md, "System calls", lists them all.
 * SIGSEGV is the library's; a handler of the program's is called for what is not the heap's. No
 * thread can block it with the C library's functions, nor does it stay blocked if the parent did.
 * It runs on Linux with glibc, on x86-64 and aarch64. One process opens one heap, once, and needs
 * 16 TiB of free address space from 0x200000000000 on (see stillheap_options_base).
 *
 * Sizes are in bytes, times in nanoseconds where the name ends in _ns, moments since 1970 in UTC.
 */
#ifndef STILLHEAP_H
#define STILLHEAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Codes and errors ---------------------------------------------------------------------- */

/* How a call went. Numbers stay as they are. */
enum stillheap_code {
    STILLHEAP_OK = 0,
    STILLHEAP_INVALID = 1,        /* an argument cannot be meant so */
    STILLHEAP_NOT_OPEN = 2,       /* no heap is open */
    STILLHEAP_ALREADY_OPEN = 3,   /* this process has opened a heap already, or is about to */
    STILLHEAP_LOCKED = 4,         /* another process has the heap open; the text names it */
    STILLHEAP_NOT_FOUND = 5,      /* there is no such heap, snapshot or root */
    STILLHEAP_DAMAGED = 6,        /* it is damaged */
    STILLHEAP_UNSUITED = 7,       /* sound, but of another machine, address, format or build */
    STILLHEAP_NO_RANGE = 8,       /* the address range cannot be had; the text says who has it */
    STILLHEAP_COLLISION = 9,      /* start the program again (only in Rust programs) */
    STILLHEAP_SYSTEM = 10,        /* the system refused: a file, a full disk, a thread */
    STILLHEAP_NO_MEMORY = 11,     /* the heap or the system has no memory for that */
    STILLHEAP_BAD_BLOCK = 12,     /* no block in use, or not one that may be used so */
    STILLHEAP_IN_SCOPE = 13,      /* cannot be done inside a scope */
    STILLHEAP_NO_SCOPE = 14,      /* can be done inside a scope only */
    STILLHEAP_ROOT_TYPE = 15,     /* the root was stored with another tag, size or alignment */
    STILLHEAP_TOO_MANY_ROOTS = 16,/* a heap has at most 128 */
    STILLHEAP_SNAPSHOT = 17,      /* the snapshot failed; older ones are untouched */
    STILLHEAP_FORKED = 18,        /* this process is a fork of the one that opened the heap */
    STILLHEAP_IN_CALLBACK = 19,   /* cannot be done in an event's callback */
    STILLHEAP_INTERNAL = 20       /* a bug of the library's; the heap should be closed */
};

/* The library's version, "0.1.0". The structs below grow while the version begins with 0: use the
 * header and the library of one version. */
#define STILLHEAP_VERSION "0.1.0"
const char *stillheap_version(void);

/* The code and the text of the calling thread's last failure, which later successes leave as they
 * are; 0 and "" if there was none. The text stays until the thread's next failure, or its end. */
int stillheap_last_code(void);
const char *stillheap_last_error(void);

/* A code's name, "STILLHEAP_LOCKED"; "STILLHEAP_UNKNOWN" if it is none. A static text. */
const char *stillheap_code_name(int code);

/* ---- Structs that are filled in ------------------------------------------------------------- */

/* What a durable snapshot was like. */
typedef struct stillheap_still {
    uint64_t number;           /* its number in the heap, from 1 on */
    uint64_t is_delta;         /* 1: written as what had changed; 0: as the whole heap */
    uint64_t pause_ns;         /* how long allocations and new scopes waited */
    uint64_t drain_ns;         /* how long the freeze waited for scopes to end, before that */
    uint64_t window_ns;        /* from then until all frozen pages were saved: first writes copy */
    uint64_t saving_ns;        /* from then until it was durable */
    uint64_t dirty_pages;      /* pages (4 KiB) of tables and tracked memory that were written */
    uint64_t dirty_chunks;     /* chunks (2 MiB) of other memory that were */
    uint64_t faults;           /* writes that the hardware caught */
    uint64_t pages_copied;     /* pages that writers copied aside */
    uint64_t stage_high_water; /* the most bytes that lay aside at a time */
    uint64_t stalls;           /* how often a writer had to wait, since no more could */
    uint64_t pages;            /* pages saved */
    uint64_t bytes;            /* bytes written */
    uint64_t operations;       /* scopes that the heap had seen, over all its runs */
    uint64_t frozen_at_ns;     /* when it was taken */
} stillheap_still;

/* A snapshot in the heap's directory. */
typedef struct stillheap_snapshot_info {
    uint64_t number;
    uint64_t frozen_at_ns;
    uint64_t operations;
    uint64_t pages;     /* pages written for it */
    uint64_t bytes;     /* bytes written for it */
    uint64_t segments;  /* files that restore it */
    uint64_t set_aside; /* 1: it counts no longer, after a revert or since it is damaged */
} stillheap_snapshot_info;

/* The snapshot that opening has restored. */
typedef struct stillheap_restored {
    uint64_t number;
    uint64_t frozen_at_ns;
    uint64_t operations;
    uint64_t pages;
    uint64_t bytes;
    uint64_t elapsed_ns; /* how long opening took */
    uint64_t skipped;    /* newer snapshots that are damaged, and were passed over */
} stillheap_restored;

/* What a heap holds and has done. */
typedef struct stillheap_stats {
    uint64_t blocks;          /* in use */
    uint64_t scoped;          /* bytes of blocks made in scopes */
    uint64_t ambient;         /* bytes of blocks made elsewhere */
    uint64_t tracked;         /* bytes of tracked blocks */
    uint64_t committed;       /* bytes of chunks in use: what may be resident */
    uint64_t operations;      /* scopes, over all runs */
    uint64_t dirtied;         /* bytes dirtied since the last freeze, in whole pages and chunks */
    uint64_t freezes;         /* snapshots taken in this run */
    uint64_t freezes_retried; /* attempts for which scopes did not end in time */
    uint64_t pause_last_ns;   /* of the last 1,024 pauses: the last, the median, */
    uint64_t pause_p50_ns;
    uint64_t pause_p99_ns;    /* the 99th percentile, */
    uint64_t pause_max_ns;    /* and the longest of all */
    uint64_t drain_last_ns;
    uint64_t drain_max_ns;
    uint64_t window_last_ns;
    uint64_t window_max_ns;
    uint64_t faults;
    uint64_t pages_copied;
    uint64_t stalls;
    uint64_t stage_high_water;
    uint64_t written;         /* bytes written to snapshots */
    uint64_t is_saving;       /* 1: a snapshot is being saved at this moment */
    uint64_t has_failed;      /* 1: the last snapshot failed */
    uint64_t swept_blocks;    /* left behind by earlier runs, and freed by now */
    uint64_t swept_bytes;
} stillheap_stats;

/* Bytes of a root's name, and of its tag, at most; a zero byte follows. */
#define STILLHEAP_NAME_MAX 96

typedef struct stillheap_root_info {
    void *value; /* NULL: a Rust program's root */
    size_t size;
    size_t align;
    char name[STILLHEAP_NAME_MAX + 1];
    char tag[STILLHEAP_NAME_MAX + 1]; /* "": a Rust program's root */
} stillheap_root_info;

/* ---- Options ---------------------------------------------------------------------------------
 * One thread at a time uses an options object. Each setter gives a code. Opening copies them. */

typedef struct stillheap_options stillheap_options;

/* New options with the defaults; NULL if there is no memory. Free them. NULL may be freed. */
stillheap_options *stillheap_options_new(void);
void stillheap_options_free(stillheap_options *options);

/* Snapshots by themselves, beside those that are asked for; any of them together. 0: never (the
 * default). An operation is a scope. Dirtied bytes count in pages of 4 KiB of tracked memory and
 * tables, 2 MiB of other memory. No snapshot is taken while nothing has been changed in a scope. */
int stillheap_options_snapshot_every_ops(stillheap_options *options, uint64_t operations);
int stillheap_options_snapshot_every_bytes(stillheap_options *options, uint64_t bytes);
int stillheap_options_snapshot_every_ms(stillheap_options *options, uint64_t milliseconds);
/* When the process receives that signal, whose action is replaced. INVALID: SIGKILL and SIGSTOP;
 * those that tell of a fault (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS), and SIGABRT, which
 * have to end the process; those that the C library keeps for itself (32 and 33). */
int stillheap_options_snapshot_on_signal(stillheap_options *options, int signal);

/* Whether a heap is made where there is none (1, the default), or opening fails (0). */
int stillheap_options_create(stillheap_options *options, int create);
/* The heap's address, instead of 0x200000000000: a multiple of 64 MiB, at most 2^47 - 2^44. A heap
 * opens at the address at which it was made; a process keeps to one, also if opening fails. */
int stillheap_options_base(stillheap_options *options, uint64_t address);
/* Restores the snapshot with that number, not the newest. When the next one is durable, those in
 * between are set aside. */
int stillheap_options_open_at(stillheap_options *options, uint64_t number);

/* How the snapshot comes back. */
enum stillheap_restore {
    STILLHEAP_RESTORE_VERIFIED = 0,   /* every page is checked, then mapped (the default) */
    STILLHEAP_RESTORE_BACKGROUND = 1, /* mapped at once, checked later; damage ends the process */
    STILLHEAP_RESTORE_LOAD = 2        /* read into memory, in huge pages */
};
int stillheap_options_restore(stillheap_options *options, int how);

/* How many of the newest snapshots stay (2), and how old others that stay may be (0: none do). */
int stillheap_options_keep(stillheap_options *options, uint64_t snapshots);
int stillheap_options_keep_for_ms(stillheap_options *options, uint64_t milliseconds);
/* Whether one more stays that shares no file with the newest (1, the default). */
int stillheap_options_spare(stillheap_options *options, int spare);
/* Whether what has changed is written, where that is less than all (1, the default). */
int stillheap_options_increments(stillheap_options *options, int increments);
/* How snapshots of the whole heap, and those of what has changed, are compressed: 0 not at all (the
 * default), -1 LZ4, 1 to 22 Zstandard at that level, if the library was built with it. */
int stillheap_options_compression(stillheap_options *options, int full, int increments);
/* Verifies the directory over and over, so many bytes a second. 0: never (the default). */
int stillheap_options_scrub(stillheap_options *options, uint64_t bytes);
/* Whether what earlier runs left behind is freed (1, the default): blocks to which no root led in
 * the snapshot that is restored, directly or through other blocks. It happens in the background.
 * 0: it stays. Say so if the heap holds pointers in another form than as they are, at a multiple
 * of 8 bytes: tagged in their high bits, as offsets, xor-ed, in packed structs. */
int stillheap_options_sweep(stillheap_options *options, int sweep);

/* How many bytes writers may copy aside while a snapshot is saved: at least 4 MiB; by default a
 * quarter of the heap, at least 64 MiB. When they are used up, writers wait. */
int stillheap_options_stage_bytes(stillheap_options *options, uint64_t bytes);
/* 1: a write to tracked memory that stillheap_touch has not announced ends the process with a
 * message. For tests; slow. */
int stillheap_options_check_tracked(stillheap_options *options, int check);

/* What happens beside calls. */
enum stillheap_event_kind {
    STILLHEAP_EVENT_DURABLE = 1,           /* a snapshot is durable: `still` has what it was like */
    STILLHEAP_EVENT_SNAPSHOT_FAILED = 2,   /* a snapshot failed; older ones are untouched */
    STILLHEAP_EVENT_SNAPSHOT_SKIPPED = 3,  /* a damaged one was passed over, by stillheap_open */
    STILLHEAP_EVENT_COMPACTED = 4,         /* files have been merged */
    STILLHEAP_EVENT_COMPACTION_FAILED = 5, /* they could not be; it is tried again */
    STILLHEAP_EVENT_SNAPSHOT_DAMAGED = 6,  /* one in the directory is damaged, not the one in use */
    STILLHEAP_EVENT_DAMAGED = 7,           /* the one in use is: the process ends after the call */
    STILLHEAP_EVENT_SLOW_FREEZES = 8,      /* the system gives no huge pages: longer pauses */
    STILLHEAP_EVENT_SWEPT = 9,             /* what earlier runs had left behind has been freed */
    STILLHEAP_EVENT_SWEEP_FAILED = 10      /* it could not be; the next run tries again */
};
typedef struct stillheap_event {
    int kind;
    uint64_t number;              /* the snapshot's, or 0 */
    const char *text;             /* what happened, in a sentence */
    const stillheap_still *still; /* of a durable snapshot, else NULL */
} stillheap_event;
/* The event and what it points to last as long as the call. */
typedef void (*stillheap_event_callback)(const stillheap_event *event, void *user);
/* Calls `callback` with `user` for each event, in the thread where it happens: the library's own,
 * or the one that opens. Without a callback, or with NULL, all but 1 and 4 are printed on standard
 * error. In a callback no heap is opened, closed, reverted, merged or verified, and no snapshot
 * taken or waited for: that is STILLHEAP_IN_CALLBACK. */
int stillheap_options_on_event(stillheap_options *options, stillheap_event_callback callback,
                               void *user);

/* ---- The heap -------------------------------------------------------------------------------- */

/* Opens the heap in a directory: restores its newest sound snapshot, or starts an empty heap if
 * there is none. A damaged heap is never taken for an empty one. `options` may be NULL.
 * A process opens one heap in its life; until that has succeeded it may try again. But for one
 * failure: if the system gives no thread or no memory after the snapshot has been mapped, the text
 * says so, every further attempt fails in the same way (SYSTEM), and so do blocks and scopes
 * (NOT_OPEN). The directory is as it was: start the program again.
 * Codes: INVALID, ALREADY_OPEN, LOCKED, NOT_FOUND (also: the directory holds something else),
 * DAMAGED, UNSUITED, NO_RANGE, SYSTEM, IN_SCOPE, IN_CALLBACK. */
int stillheap_open(const char *directory, const stillheap_options *options);

/* Whether a heap is open: 1 or 0. */
int stillheap_is_open(void);

/* Takes a last snapshot, unless nothing has changed since the last one, waits until it is durable,
 * and ends the library's threads. Waits for calls of other threads. `last`, if not NULL, gets what
 * the last snapshot of this run was like; its number is 0 if there was none.
 * The memory stays usable afterwards, as an ordinary heap; changes are not saved any more. A
 * process that ends without this loses what it has done since its last durable snapshot.
 * Codes: NOT_OPEN, IN_SCOPE, IN_CALLBACK; SNAPSHOT: the last one failed, and the heap is closed. */
int stillheap_close(stillheap_still *last);

/* What opening has restored. NOT_FOUND: the heap was empty. */
int stillheap_get_restored(stillheap_restored *restored);

/* What the heap holds and has done. Takes microseconds for each MiB in use. */
int stillheap_get_stats(stillheap_stats *stats);

/* Checks the allocator's tables; every thread's allocations wait meanwhile. DAMAGED: something has
 * written into them. End the process, and go on from the last snapshot. */
int stillheap_validate(void);

/* ---- Blocks ----------------------------------------------------------------------------------
 * They last until they are freed, over all runs, if a root leads to them. What a run has neither
 * freed nor tied to a root a later one frees (stillheap_options_sweep). A process with no heap open
 * gets NULL and STILLHEAP_NOT_OPEN. Blocks start at a multiple of 16. A size of 0 counts as 1. */

void *stillheap_alloc(size_t size);
/* For `count` times `size` bytes, all zero. */
void *stillheap_calloc(size_t count, size_t size);
/* At a multiple of `align`, a power of two, at most 2 MiB. */
void *stillheap_aligned_alloc(size_t align, size_t size);
/* As realloc: may move the block, then to a multiple of 16 only; NULL is allocated. On failure the
 * block is as it was. Tracked blocks and values of roots do not change: BAD_BLOCK. */
void *stillheap_realloc(void *block, size_t size);
/* NULL is fine. BAD_BLOCK: it is no block in use (freed twice, of malloc, of another place), or the
 * value of a root; nothing is done then. */
int stillheap_free(void *block);
/* How many bytes a block can hold: at least as many as were asked for. All of them can be used. */
int stillheap_usable_size(const void *block, size_t *size);
/* Whether an address lies in the heap's range, once one has been opened: 1 or 0. */
int stillheap_contains(const void *address);

/* A block of whole pages of 4 KiB, all zero, whose writes the program announces itself. In a
 * snapshot's time the first write to a page then copies 4 KiB, not 2 MiB, and none takes a fault.
 * For large nodes and tables that are written here and there. Free it as any other. */
void *stillheap_alloc_tracked(size_t size);

/* ---- Scopes ---------------------------------------------------------------------------------- */

/* Enters a scope; waits for a snapshot's freeze, if one is under way. They nest; each counts as an
 * operation, and only the outermost waits. */
int stillheap_scope_enter(void);
/* Leaves it. NO_SCOPE: this thread is in none. */
int stillheap_scope_leave(void);
/* Whether the calling thread is in one: 1 or 0. */
int stillheap_in_scope(void);

/* Announces that `len` bytes from `start` on are written before this thread's scope ends:
 *   - in tracked memory, before each scope's first write to them (the first, too). What is written
 *     unannounced is missing in snapshots.
 *   - in other memory, if the kernel is to write there without the C library: it finds it
 *     writable. Programs may write to other memory without this.
 * NO_SCOPE: in no scope. BAD_BLOCK: not all of it lies in memory of the heap that is in use, or
 * some in tracked memory and some not. Nothing is announced then. */
int stillheap_touch(void *start, size_t len);

/* ---- Roots -----------------------------------------------------------------------------------
 * A root is a block with a name: what the next run starts from. With it are stored a tag, which
 * names the type and its version ("notes 2"), its size and its alignment. All three are compared
 * whenever the root is asked for; another one is ROOT_TYPE, and the value is left alone. A change
 * of the struct that keeps its size is seen by nobody: give it another tag. The same holds for the
 * structs that it leads to. A heap has at most 128 roots; names and tags have 1 to 96 bytes.
 * The value cannot be freed or moved while it is one. */

/* The root's value; made, all zero, if there is no such root: then `made`, if not NULL, gets 1,
 * else 0. In a scope, filling it in is in snapshots together with its making. */
int stillheap_root_open(const char *name, const char *tag, size_t size, size_t align, void **value,
                        int *made);
/* The root's value. NOT_FOUND: there is none; the text names those there are. */
int stillheap_root_get(const char *name, const char *tag, size_t size, size_t align, void **value);
/* Makes a block the root's value, in place of its value until now, which stays allocated.
 * BAD_BLOCK: no block in use starts there, or it is too small, or not aligned. */
int stillheap_root_set(const char *name, const char *tag, size_t size, size_t align, void *value);
/* Takes the name away. The value stays allocated: `value`, if not NULL, gets it. */
int stillheap_root_remove(const char *name, void **value);
/* Fills `list` with as many roots as there are, and room for; `count` gets how many there are. */
int stillheap_list_roots(stillheap_root_info *list, size_t room, size_t *count);

/* ---- Snapshots ------------------------------------------------------------------------------- */

/* Takes a snapshot: the heap as it is at one instant within this call. Gives its number, if that is
 * not NULL, and returns; the disk is written to meanwhile. Waits for other threads' scopes to end:
 * so hold no lock that a scope may wait for. IN_SCOPE, FORKED, IN_CALLBACK, SNAPSHOT. */
int stillheap_snapshot(uint64_t *number);
/* Waits until that snapshot is durable: from then on it survives a crash, and a power cut as far as
 * the disk keeps its promises. `still`, if not NULL, gets what it was like.
 * SNAPSHOT: it has failed; its number is given to the next one, which then holds this state or a
 * later one. NOT_FOUND: this run has not taken it, or more than 1,024 since. */
int stillheap_wait_durable(uint64_t number, stillheap_still *still);

/* Finding mistakes. Both take a snapshot, wait until it is durable, and look at it; some seconds for
 * each GiB, while other threads go on. Codes as of stillheap_snapshot, and DAMAGED, SYSTEM.
 * `report`, if not NULL, is called once, in this thread, with what was found and what it means, as
 * text with several lines; it lasts as long as the call. */
typedef void (*stillheap_report_callback)(const char *report, void *user);
/* Looks in all that the roots lead to for pointers to memory that is not there in the next run: of
 * malloc, stacks, libraries, mapped files, the executable. `findings`, if not NULL, gets how many
 * words there are that look like one. Some may be left in room that nobody uses any more. */
int stillheap_audit(uint64_t *findings, stillheap_report_callback report, void *user);
/* Looks for blocks to which no root leads. `blocks`, if not NULL, gets how many there are. */
int stillheap_leaks(uint64_t *blocks, stillheap_report_callback report, void *user);

/* Fills `list` with the snapshots in the directory, oldest first; `count` gets how many. */
int stillheap_list_snapshots(stillheap_snapshot_info *list, size_t room, size_t *count);
/* Reads and checks every page of a snapshot; `pages`, if not NULL, gets how many. DAMAGED: which
 * file, where and how. */
int stillheap_verify(uint64_t number, uint64_t *pages);
/* Merges the newest snapshot's files into one now, and not when it is worth it. */
int stillheap_compact(void);
/* Closes the heap without a last snapshot, and has the next opening restore that one. Those after
 * it stay until newer ones take their place. The heap is closed even if this fails, but for
 * NOT_OPEN, IN_SCOPE and IN_CALLBACK. */
int stillheap_revert(uint64_t number);

#ifdef __cplusplus
}
#endif

#endif
