/* Failures that come from outside: a disk that is full, damage, another process that has the heap.
 *
 *     failures PART HEAP
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "expect.h"
#include "parts.h"
#include "table.h"

static stillheap_options *listening(void) {
    stillheap_options *options = stillheap_options_new();
    OK(stillheap_options_on_event(options, on_event, heard));
    OK(stillheap_options_increments(options, 0));
    OK(stillheap_options_spare(options, 0));
    return options;
}

static void set_width(uint64_t width) {
    OK(stillheap_scope_enter());
    struct table *table;
    void *found;
    OK(stillheap_root_open("table", TABLE, &found, NULL));
    table = found;
    table->width = width;
    OK(stillheap_scope_leave());
}

/* A snapshot that cannot be written is told, and the next one can. Leaves two. */
static void full_disk(const char *heap) {
    stillheap_options *options = listening();
    OK(stillheap_open(heap, options));
    stillheap_options_free(options);
    uint64_t number = 0;
    set_width(1);
    OK(stillheap_snapshot(&number));
    OK(stillheap_wait_durable(number, NULL));
    struct rlimit limit, small = {.rlim_cur = 8192};
    EXPECT(getrlimit(RLIMIT_FSIZE, &limit) == 0 && signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    small.rlim_max = limit.rlim_max;
    EXPECT(setrlimit(RLIMIT_FSIZE, &small) == 0);
    set_width(2);
    int code = stillheap_snapshot(&number);
    FAILS(STILLHEAP_SNAPSHOT, code == STILLHEAP_OK ? stillheap_wait_durable(number, NULL) : code);
    stillheap_stats stats;
    OK(stillheap_get_stats(&stats));
    EXPECT(stats.has_failed);
    EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    OK(stillheap_snapshot(&number));
    OK(stillheap_wait_durable(number, NULL));
    OK(stillheap_close(NULL));
    EXPECT(heard[STILLHEAP_EVENT_SNAPSHOT_FAILED] == 1 && heard[STILLHEAP_EVENT_DURABLE] == 2);
}

/* The newest of the two is damaged. */
static void one_damaged(const char *heap) {
    stillheap_options *options = listening();
    OK(stillheap_open(heap, options));
    stillheap_options_free(options);
    stillheap_restored restored;
    OK(stillheap_get_restored(&restored));
    EXPECT(restored.skipped == 1 && heard[STILLHEAP_EVENT_SNAPSHOT_SKIPPED] == 1);
    EXPECT(table_of(0)->width == 1);
    OK(stillheap_verify(restored.number, NULL));
    OK(stillheap_close(NULL));
}

static void all_damaged(const char *heap) {
    FAILS(STILLHEAP_DAMAGED, stillheap_open(heap, NULL));
}

/* Has the heap open until its standard input ends. */
static void hold(const char *heap) {
    char byte;
    OK(stillheap_open(heap, NULL));
    printf("open\n");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
    OK(stillheap_close(NULL));
}

static void locked(const char *heap) { FAILS(STILLHEAP_LOCKED, stillheap_open(heap, NULL)); }

static char *large;
static const size_t size = (size_t)16 << 20;
static sem_t may_write;

static void *early(void *nothing) {
    while (sem_wait(&may_write) != 0) {
    }
    memset(large, 2, size);
    return nothing;
}

/* A thread that was started before the heap was opened, with all signals blocked, writes to it. */
static void early_thread(const char *heap) {
    pthread_t thread;
    stillheap_stats before, after;
    sigset_t all;
    EXPECT(sigfillset(&all) == 0 && pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
    EXPECT(sem_init(&may_write, 0, 0) == 0 && pthread_create(&thread, NULL, early, NULL) == 0);
    OK(stillheap_open(heap, NULL));
    large = stillheap_alloc(size);
    memset(large, 1, size);
    uint64_t number = 0;
    OK(stillheap_snapshot(&number));
    OK(stillheap_get_stats(&before));
    EXPECT(sem_post(&may_write) == 0 && pthread_join(thread, NULL) == 0);
    OK(stillheap_get_stats(&after));
    EXPECT(after.faults > before.faults && large[0] == 2 && large[size - 1] == 2);
    OK(stillheap_close(NULL));
}

/* The same with SIGSEGV blocked by the parent, which survives exec. */
static void blocked(const char *heap) {
    const uint64_t mask = UINT64_C(1) << (SIGSEGV - 1);
    /* By number: the library's function leaves the signal alone. */
    EXPECT(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, sizeof mask) == 0);
    execl("/proc/self/exe", "failures", "early_thread", heap, (char *)NULL);
    EXPECT(!"executed");
}

int main(int argc, char **argv) {
    static const struct part parts[] = {{"full_disk", full_disk},
                                        {"one_damaged", one_damaged},
                                        {"all_damaged", all_damaged},
                                        {"hold", hold},
                                        {"locked", locked},
                                        {"early_thread", early_thread},
                                        {"blocked", blocked}};
    return run_part(parts, sizeof parts / sizeof parts[0], argc, argv);
}
