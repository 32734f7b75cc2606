/* Every function of the header, as it says; each part of this is a process of its own.
 *
 *     every_function PART HEAP
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"
#include "parts.h"
#include "table.h"

#define MIB ((size_t)1 << 20)

static void before_opening(const char *heap) {
    void *out;
    size_t size;
    uint64_t number;
    struct stillheap_stats stats;
    stillheap_restored restored;
    EXPECT(strcmp(stillheap_version(), STILLHEAP_VERSION) == 0);
    EXPECT(stillheap_last_code() == STILLHEAP_OK && stillheap_last_error()[0] == 0);
    EXPECT(strcmp(stillheap_code_name(STILLHEAP_LOCKED), "STILLHEAP_LOCKED") == 0);
    EXPECT(strcmp(stillheap_code_name(-7), "STILLHEAP_UNKNOWN") == 0);
    EXPECT(!stillheap_is_open() && !stillheap_in_scope() && !stillheap_contains(heap));
    GIVES_NULL(STILLHEAP_NOT_OPEN, stillheap_alloc(1));
    GIVES_NULL(STILLHEAP_NOT_OPEN, stillheap_calloc(1, 1));
    GIVES_NULL(STILLHEAP_NOT_OPEN, stillheap_aligned_alloc(64, 1));
    GIVES_NULL(STILLHEAP_NOT_OPEN, stillheap_alloc_tracked(1));
    GIVES_NULL(STILLHEAP_NOT_OPEN, stillheap_realloc(NULL, 1));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_free(&out));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_usable_size(&out, &size));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_scope_enter());
    FAILS(STILLHEAP_NO_SCOPE, stillheap_scope_leave());
    FAILS(STILLHEAP_NOT_OPEN, stillheap_touch(&out, 1));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_root_open("a", TABLE, &out, NULL));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_root_get("a", TABLE, &out));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_root_set("a", TABLE, &out));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_root_remove("a", &out));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_list_roots(NULL, 0, &size));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_list_snapshots(NULL, 0, &size));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_snapshot(&number));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_wait_durable(1, NULL));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_verify(1, NULL));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_compact());
    FAILS(STILLHEAP_NOT_OPEN, stillheap_revert(1));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_validate());
    FAILS(STILLHEAP_NOT_OPEN, stillheap_get_stats(&stats));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_get_restored(&restored));
    FAILS(STILLHEAP_NOT_OPEN, stillheap_close(NULL));
    OK(stillheap_free(NULL));
}

static void null_arguments(void) {
    void *out;
    size_t size;
    FAILS(STILLHEAP_INVALID, stillheap_open(NULL, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_open("", NULL));
    FAILS(STILLHEAP_INVALID, stillheap_options_keep(NULL, 1));
    FAILS(STILLHEAP_INVALID, stillheap_options_base(NULL, UINT64_C(1) << 45));
    FAILS(STILLHEAP_INVALID, stillheap_options_on_event(NULL, NULL, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_open(NULL, TABLE, &out, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_open("a", NULL, 8, 8, &out, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_open("a", TABLE, NULL, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_get("a", TABLE, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_get(NULL, TABLE, &out));
    FAILS(STILLHEAP_INVALID, stillheap_root_set("a", TABLE, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_remove(NULL, &out));
    FAILS(STILLHEAP_INVALID, stillheap_usable_size(NULL, &size));
    FAILS(STILLHEAP_INVALID, stillheap_usable_size(&out, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_get_stats(NULL));
    FAILS(STILLHEAP_INVALID, stillheap_get_restored(NULL));
    stillheap_options_free(NULL);
}

static stillheap_options *all_options(void) {
    stillheap_options *options = stillheap_options_new();
    EXPECT(options != NULL);
    OK(stillheap_options_snapshot_every_ops(options, UINT64_C(1) << 60));
    OK(stillheap_options_snapshot_every_bytes(options, UINT64_C(1) << 60));
    OK(stillheap_options_snapshot_every_ms(options, UINT64_C(1) << 40));
    OK(stillheap_options_snapshot_on_signal(options, SIGUSR1));
    const int unfit[] = {SIGSEGV, SIGBUS,  SIGILL,  SIGFPE, SIGTRAP, SIGSYS, SIGABRT,
                         SIGKILL, SIGSTOP, 32, 33, 0, -1, 65};
    for (size_t signal = 0; signal < sizeof unfit / sizeof unfit[0]; signal++) {
        FAILS(STILLHEAP_INVALID, stillheap_options_snapshot_on_signal(options, unfit[signal]));
    }
    EXPECT(strstr(stillheap_last_error(), "signal 65") != NULL);
    EXPECT(strstr(stillheap_last_error(), "SIGUSR1") != NULL);
    OK(stillheap_options_create(options, 1));
    OK(stillheap_options_base(options, UINT64_C(0x300000000000)));
    FAILS(STILLHEAP_INVALID, stillheap_options_base(options, 4096));
    OK(stillheap_options_restore(options, STILLHEAP_RESTORE_VERIFIED));
    FAILS(STILLHEAP_INVALID, stillheap_options_restore(options, 3));
    OK(stillheap_options_keep(options, 5));
    OK(stillheap_options_keep_for_ms(options, 0));
    OK(stillheap_options_spare(options, 0));
    OK(stillheap_options_increments(options, 1));
    OK(stillheap_options_compression(options, 0, -1));
    FAILS(STILLHEAP_INVALID, stillheap_options_compression(options, 0, -2));
    OK(stillheap_options_scrub(options, 1 << 20));
    OK(stillheap_options_sweep(options, 1));
    OK(stillheap_options_stage_bytes(options, 64 << 20));
    OK(stillheap_options_check_tracked(options, 1));
    OK(stillheap_options_on_event(options, on_event, heard));
    return options;
}

static void cannot_be_opened(const char *heap) {
    stillheap_options *options = stillheap_options_new();
    OK(stillheap_options_create(options, 0));
    OK(stillheap_options_base(options, UINT64_C(0x300000000000)));
    FAILS(STILLHEAP_NOT_FOUND, stillheap_open(heap, options));
    OK(stillheap_options_base(options, UINT64_C(0x200000000000)));
    FAILS(STILLHEAP_NO_RANGE, stillheap_open(heap, options));
    stillheap_options_free(options);
    FAILS(STILLHEAP_NOT_FOUND, stillheap_open("/proc/self", NULL));
    FAILS(STILLHEAP_SYSTEM, stillheap_open("/proc/version", NULL));
    GIVES_NULL(STILLHEAP_NOT_OPEN, stillheap_alloc(1));
}

static void blocks(void) {
    char *block = stillheap_alloc(100), *other = stillheap_calloc(50, 3);
    size_t size = 0;
    EXPECT(block != NULL && other != NULL && (uintptr_t)block % 16 == 0);
    EXPECT(stillheap_contains(block) && !stillheap_contains(&size));
    OK(stillheap_usable_size(block, &size));
    EXPECT(size >= 100);
    for (int at = 0; at < 150; at++) {
        EXPECT(other[at] == 0);
    }
    memset(block, 'x', 100);
    block = stillheap_realloc(block, 3 * MIB);
    EXPECT(block != NULL && block[0] == 'x' && block[99] == 'x');
    block = stillheap_realloc(block, 10);
    EXPECT(block != NULL && block[9] == 'x');
    OK(stillheap_free(block));
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_free(block));
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_usable_size(block, &size));
    GIVES_NULL(STILLHEAP_BAD_BLOCK, stillheap_realloc(block, 20));
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_free(other + 1));
    void *foreign = malloc(10);
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_free(foreign));
    free(foreign);
    OK(stillheap_free(other));
    for (size_t align = 1; align <= 2 * MIB; align *= 2) {
        char *aligned = stillheap_aligned_alloc(align, 24);
        EXPECT(aligned != NULL && (uintptr_t)aligned % align == 0);
        OK(stillheap_free(aligned));
    }
    GIVES_NULL(STILLHEAP_INVALID, stillheap_aligned_alloc(3, 8));
    GIVES_NULL(STILLHEAP_INVALID, stillheap_aligned_alloc(0, 8));
    GIVES_NULL(STILLHEAP_NO_MEMORY, stillheap_alloc(SIZE_MAX));
    GIVES_NULL(STILLHEAP_NO_MEMORY, stillheap_alloc((size_t)1 << 45));
    GIVES_NULL(STILLHEAP_NO_MEMORY, stillheap_calloc(SIZE_MAX / 2, 3));
    GIVES_NULL(STILLHEAP_NO_MEMORY, stillheap_alloc_tracked(SIZE_MAX));
    block = stillheap_alloc(0);
    EXPECT(block != NULL);
    GIVES_NULL(STILLHEAP_NO_MEMORY, stillheap_realloc(block, SIZE_MAX));
    OK(stillheap_free(block));
}

static void scopes(void) {
    char *block = stillheap_alloc(100);
    FAILS(STILLHEAP_NO_SCOPE, stillheap_touch(block, 100));
    OK(stillheap_scope_enter());
    OK(stillheap_scope_enter());
    EXPECT(stillheap_in_scope());
    OK(stillheap_touch(block, 100));
    OK(stillheap_touch(block, 0));
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_touch(&block, 8));
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_touch(block, SIZE_MAX));
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_touch(block, (size_t)1 << 46));
    FAILS(STILLHEAP_IN_SCOPE, stillheap_snapshot(NULL));
    FAILS(STILLHEAP_IN_SCOPE, stillheap_close(NULL));
    FAILS(STILLHEAP_IN_SCOPE, stillheap_revert(1));
    FAILS(STILLHEAP_IN_SCOPE, stillheap_validate());
    OK(stillheap_scope_leave());
    EXPECT(stillheap_in_scope());
    OK(stillheap_scope_leave());
    EXPECT(!stillheap_in_scope());
    FAILS(STILLHEAP_NO_SCOPE, stillheap_scope_leave());
    OK(stillheap_free(block));
}

static void roots(void) {
    void *out = NULL;
    char long_name[120];
    memset(long_name, 'n', sizeof long_name);
    long_name[97] = 0;
    struct table *table = table_of(1);
    EXPECT(table->width == 0 && table->text == NULL);
    EXPECT(table_of(0) == table);
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_free(table));
    GIVES_NULL(STILLHEAP_BAD_BLOCK, stillheap_realloc(table, 1000));
    FAILS(STILLHEAP_ROOT_TYPE, stillheap_root_get("table", "table 2", sizeof *table, 8, &out));
    EXPECT(strstr(stillheap_last_error(), "`table 1`, 32 bytes") != NULL);
    EXPECT(strstr(stillheap_last_error(), "`table 2`") != NULL);
    FAILS(STILLHEAP_ROOT_TYPE, stillheap_root_open("table", "table 1", 40, 8, &out, NULL));
    FAILS(STILLHEAP_ROOT_TYPE, stillheap_root_open("table", "table 1", 32, 16, &out, NULL));
    FAILS(STILLHEAP_NOT_FOUND, stillheap_root_get("none", TABLE, &out));
    EXPECT(strstr(stillheap_last_error(), "`table`") != NULL);
    FAILS(STILLHEAP_NOT_FOUND, stillheap_root_remove("none", &out));
    FAILS(STILLHEAP_INVALID, stillheap_root_open("", TABLE, &out, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_open(long_name, TABLE, &out, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_open("a", "", 8, 8, &out, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_open("a", long_name, 8, 8, &out, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_open("a", "\xff", 8, 8, &out, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_open("a", "a", 0, 8, &out, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_root_open("a", "a", 8, 3, &out, NULL));
    EXPECT(out == NULL);

    uint64_t *first = stillheap_alloc(8), *second = stillheap_alloc(8);
    *first = 1, *second = 2;
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_root_set("number", "u64", 8, 8, &out));
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_root_set("number", "u64", 100, 8, first));
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_root_set("number", "u64", 8, 8, first + 1));
    OK(stillheap_root_set("number", "u64", 8, 8, first));
    OK(stillheap_root_set("number", "u64", 8, 8, second));
    FAILS(STILLHEAP_ROOT_TYPE, stillheap_root_set("number", "i64", 8, 8, first));
    OK(stillheap_free(first));
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_free(second));
    OK(stillheap_root_get("number", "u64", 8, 8, &out));
    EXPECT(out == second);

    stillheap_root_info infos[2];
    size_t count = 0;
    FAILS(STILLHEAP_INVALID, stillheap_list_roots(infos, 2, NULL));
    FAILS(STILLHEAP_INVALID, stillheap_list_roots(NULL, 2, &count));
    OK(stillheap_list_roots(infos, 2, &count));
    EXPECT(count == 2 && strcmp(infos[0].name, "table") == 0 && infos[1].value == second);
    EXPECT(strcmp(infos[0].tag, "table 1") == 0 && infos[0].size == 32 && infos[0].align == 8);
    OK(stillheap_root_remove("number", &out));
    EXPECT(out == second && *second == 2);
    OK(stillheap_free(second));
    OK(stillheap_root_open("number", "i64", 8, 8, &out, NULL));
    OK(stillheap_root_remove("number", &out));
    OK(stillheap_free(out));
}

static void too_many_roots(void) {
    void *out;
    char name[20];
    for (int number = 0; number < 127; number++) {
        snprintf(name, sizeof name, "root %d", number);
        OK(stillheap_root_open(name, "one", 1, 1, &out, NULL));
    }
    stillheap_stats before, after;
    OK(stillheap_get_stats(&before));
    FAILS(STILLHEAP_TOO_MANY_ROOTS, stillheap_root_open("one more", "one", 1, 1, &out, NULL));
    OK(stillheap_get_stats(&after));
    EXPECT(before.blocks == after.blocks);
    for (int number = 0; number < 127; number++) {
        snprintf(name, sizeof name, "root %d", number);
        OK(stillheap_root_remove(name, &out));
        OK(stillheap_free(out));
    }
}

#if defined(__x86_64__)
/* As the C library's, past it. */
static long raw_read(int file, void *buffer, size_t len) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(0L), "D"((long)file), "S"(buffer), "d"(len)
                     : "rcx", "r11", "memory");
    return result;
}
#endif

/* The kernel writes into memory that a snapshot has protected. */
static void system_calls(void) {
    size_t size = 6 * MIB;
    char *block = stillheap_alloc(size);
    uint64_t number;
    int zeros = open("/dev/zero", O_RDONLY), pipes[2];
    EXPECT(block != NULL && zeros >= 0 && pipe(pipes) == 0);
    memset(block, 1, size);
    OK(stillheap_scope_enter());
    OK(stillheap_scope_leave());
    OK(stillheap_snapshot(&number));
    OK(stillheap_wait_durable(number, NULL));
#if defined(__x86_64__)
    EXPECT(raw_read(zeros, block, 100) == -EFAULT);
#endif
    EXPECT(read(zeros, block, 100) == 100 && block[0] == 0 && block[99] == 0 && block[100] == 1);
    EXPECT(write(pipes[1], "hello", 5) == 5);
    char *later = block + 4 * MIB;
    EXPECT(read(pipes[0], later, 10) == 5 && memcmp(later, "hello\1", 6) == 0);
    struct stat *status = (struct stat *)(void *)later;
    OK(stillheap_snapshot(&number));
    EXPECT(fstat(zeros, status) == 0 && S_ISCHR(status->st_mode));
    OK(stillheap_snapshot(&number));
    for (size_t done = 0; done < size;) {
        ssize_t some = read(zeros, block + done, size - done);
        EXPECT(some > 0);
        done += (size_t)some;
    }
    EXPECT(block[size - 1] == 0);
    OK(stillheap_snapshot(&number));
    OK(stillheap_wait_durable(number, NULL));
    OK(stillheap_scope_enter());
    OK(stillheap_touch(block, size));
#if defined(__x86_64__)
    EXPECT(raw_read(zeros, block, size) == (long)size);
#endif
    OK(stillheap_scope_leave());
    close(zeros), close(pipes[0]), close(pipes[1]);
    OK(stillheap_free(block));
}

static void *in_thread(void *argument) {
    uint64_t **slot = argument;
    OK(stillheap_scope_enter());
    uint64_t *mine = stillheap_alloc(sizeof *mine);
    *mine = 7;
    *slot = mine;
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_free(argument));
    /* The scope ends with the thread. */
    return NULL;
}

/* They come and go, also while snapshots are taken. */
static void threads(void) {
    for (int round = 0; round < 500; round++) {
        uint64_t *slots[4] = {NULL, NULL, NULL, NULL};
        pthread_t all[4];
        for (int at = 0; at < 4; at++) {
            EXPECT(pthread_create(&all[at], NULL, in_thread, &slots[at]) == 0);
        }
        if (round % 25 == 0) {
            OK(stillheap_snapshot(NULL));
        }
        for (int at = 0; at < 4; at++) {
            EXPECT(pthread_join(all[at], NULL) == 0 && *slots[at] == 7);
            OK(stillheap_free(slots[at]));
        }
    }
    OK(stillheap_snapshot(NULL));
    OK(stillheap_validate());
}

static void hear_report(const char *report, void *user) {
    EXPECT(strncmp(report, "snapshot ", 9) == 0);
    snprintf(user, 4000, "%s", report);
}

/* Two pointers that leave the heap, and a block that is lost. */
static void mistakes(void) {
    static char report[4000];
    uint64_t findings = 9, before = 0, lost = 0, local = 7;
    struct table *table = table_of(0);
    OK(stillheap_audit(&findings, NULL, NULL));
    EXPECT(findings == 0);
    OK(stillheap_leaks(&before, NULL, NULL));
    OK(stillheap_scope_enter());
    uint64_t *tracked = table->tracked;
    char *text = table->text;
    table->tracked = &local;
    table->text = "a constant of the program";
    EXPECT(stillheap_alloc(500) != NULL);
    FAILS(STILLHEAP_IN_SCOPE, stillheap_audit(NULL, NULL, NULL));
    FAILS(STILLHEAP_IN_SCOPE, stillheap_leaks(NULL, NULL, NULL));
    OK(stillheap_scope_leave());
    OK(stillheap_audit(&findings, hear_report, report));
    EXPECT(findings == 2 && strstr(report, "[stack]") && strstr(report, "the executable"));
    OK(stillheap_leaks(&lost, hear_report, report));
    /* What the two led to is lost as well. */
    EXPECT(lost == before + 3 && strstr(report, "(512 bytes)"));
    OK(stillheap_scope_enter());
    table->tracked = tracked;
    table->text = text;
    OK(stillheap_scope_leave());
    OK(stillheap_audit(NULL, NULL, NULL));
}

static void fork_takes_no_snapshots(void) {
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        char *block = stillheap_alloc(10);
        EXPECT(block != NULL && table_of(0)->self == table_of(0));
        FAILS(STILLHEAP_FORKED, stillheap_snapshot(NULL));
        FAILS(STILLHEAP_FORKED, stillheap_compact());
        FAILS(STILLHEAP_FORKED, stillheap_audit(NULL, NULL, NULL));
        OK(stillheap_close(NULL));
        _exit(0);
    }
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
}

/* The first run: fails in every way, then makes what the others find. */
static void first(const char *heap) {
    before_opening(heap);
    null_arguments();
    cannot_be_opened(heap);
    stillheap_options *options = all_options();
    OK(stillheap_open(heap, options));
    stillheap_options_free(options);
    EXPECT(stillheap_is_open());
    FAILS(STILLHEAP_ALREADY_OPEN, stillheap_open(heap, NULL));
    stillheap_restored restored;
    FAILS(STILLHEAP_NOT_FOUND, stillheap_get_restored(&restored));
    blocks();
    scopes();
    roots();
    too_many_roots();
    struct table *table = table_of(0);
    EXPECT((uintptr_t)table >= UINT64_C(0x300000000000));
    OK(stillheap_scope_enter());
    table->self = table;
    table->width = 1;
    table->text = strcpy(stillheap_alloc(20), "text");
    table->tracked = stillheap_alloc_tracked(3 * 4096);
    EXPECT((uintptr_t)table->tracked % 4096 == 0 && table->tracked[1535] == 0);
    OK(stillheap_scope_leave());
    GIVES_NULL(STILLHEAP_BAD_BLOCK, stillheap_realloc(table->tracked, 5 * 4096));
    uint64_t number = 0, pages = 0;
    stillheap_still still;
    for (uint64_t round = 1; round <= 3; round++) {
        OK(stillheap_scope_enter());
        OK(stillheap_touch(table->tracked, 3 * 4096));
        table->tracked[0] = table->tracked[1535] = round;
        table->width = round;
        OK(stillheap_scope_leave());
        OK(stillheap_snapshot(&number));
        OK(stillheap_wait_durable(number, &still));
        EXPECT(still.number == number && still.pages > 0 && still.frozen_at_ns > 0);
    }
    OK(stillheap_wait_durable(number - 2, NULL));
    FAILS(STILLHEAP_NOT_FOUND, stillheap_wait_durable(number + 100, NULL));
    OK(stillheap_verify(number, &pages));
    EXPECT(pages > 0);
    FAILS(STILLHEAP_NOT_FOUND, stillheap_verify(number + 100, NULL));
    OK(stillheap_compact());
    stillheap_snapshot_info list[8];
    size_t count = 0;
    OK(stillheap_list_snapshots(list, 8, &count));
    EXPECT(count == 3 && list[2].number == number && list[0].operations < list[2].operations);
    OK(stillheap_list_snapshots(NULL, 0, &count));
    EXPECT(count == 3 && __atomic_load_n(&heard[STILLHEAP_EVENT_DURABLE], __ATOMIC_SEQ_CST) > 1);
    stillheap_stats stats;
    OK(stillheap_get_stats(&stats));
    EXPECT(stats.freezes == 3 && stats.tracked == 3 * 4096 && !stats.has_failed);
    OK(stillheap_validate());
    fork_takes_no_snapshots();
    OK(stillheap_scope_enter());
    table->width = 100;
    OK(stillheap_scope_leave());
    OK(stillheap_close(&still));
    EXPECT(still.number == number + 1 && !stillheap_is_open());
    FAILS(STILLHEAP_ALREADY_OPEN, stillheap_open(heap, NULL));
    /* The memory stays. */
    EXPECT(table->width == 100 && stillheap_free(stillheap_alloc(10)) == STILLHEAP_OK);
}

static void open_at(const char *heap, uint64_t number) {
    stillheap_options *options = stillheap_options_new();
    OK(stillheap_options_base(options, UINT64_C(0x300000000000)));
    if (number > 0) {
        OK(stillheap_options_open_at(options, number));
        OK(stillheap_options_sweep(options, 0));
    }
    OK(stillheap_open(heap, options));
    stillheap_options_free(options);
}

static void expect_table(uint64_t width, uint64_t tracked) {
    struct table *table = table_of(0);
    EXPECT(table->self == table && table->width == width && strcmp(table->text, "text") == 0);
    EXPECT(table->tracked[0] == tracked && table->tracked[1535] == tracked);
    void *out;
    FAILS(STILLHEAP_ROOT_TYPE, stillheap_root_get("table", "table 2", sizeof *table, 8, &out));
    FAILS(STILLHEAP_ROOT_TYPE, stillheap_root_get("table", "table 1", 40, 8, &out));
}

/* The second: finds it, and has an older snapshot be the next. */
static void second(const char *heap) {
    FAILS(STILLHEAP_UNSUITED, stillheap_open(heap, NULL));
    exit(0);
}

static void third(const char *heap) {
    open_at(heap, 0);
    stillheap_restored restored;
    OK(stillheap_get_restored(&restored));
    EXPECT(restored.number == 4 && restored.skipped == 0 && restored.operations > 3);
    expect_table(100, 3);
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_free(table_of(0)));
    OK(stillheap_revert(2));
    EXPECT(!stillheap_is_open());
}

static void fourth(const char *heap) {
    open_at(heap, 0);
    expect_table(2, 2);
    OK(stillheap_close(NULL));
}

static void fifth(const char *heap) {
    open_at(heap, 3);
    expect_table(3, 3);
    mistakes();
    system_calls();
    threads();
    OK(stillheap_close(NULL));
}

int main(int argc, char **argv) {
    static const struct part parts[] = {{"first", first},
                                        {"second", second},
                                        {"third", third},
                                        {"fourth", fourth},
                                        {"fifth", fifth}};
    return run_part(parts, sizeof parts / sizeof parts[0], argc, argv);
}
