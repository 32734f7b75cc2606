/* What is refused, and what holds then.
 *
 *     refusals PART HEAP
 */
#define _GNU_SOURCE
#include <string.h>
#include <time.h>

#include "expect.h"
#include "parts.h"

#define MIB ((size_t)1 << 20)

/* What lies between two blocks may be given back, or of another kind: that is not announced. */
static void touch_between(const char *heap) {
    enum { COUNT = 6 };
    const size_t size = 40 * MIB;
    char *tracked[COUNT];
    OK(stillheap_open(heap, NULL));
    char *block = stillheap_alloc(100);
    for (int i = 0; i < COUNT; i++) {
        tracked[i] = stillheap_alloc_tracked(size);
        EXPECT(tracked[i] > (i == 0 ? block : tracked[i - 1]));
    }
    char *first = tracked[0], *last = tracked[COUNT - 1];
    OK(stillheap_scope_enter());
    OK(stillheap_touch(first, size));
    FAILS(STILLHEAP_BAD_BLOCK, stillheap_touch(block, (size_t)(first - block) + 1));
    OK(stillheap_scope_leave());
    for (int i = 1; i < COUNT - 1; i++) OK(stillheap_free(tracked[i]));
    /* Their memory goes back to the system some time after a snapshot. */
    int code = STILLHEAP_OK;
    for (int tries = 0; tries < 300 && code == STILLHEAP_OK; tries++) {
        const struct timespec tenth = {.tv_nsec = 100000000};
        uint64_t number = 0;
        OK(stillheap_snapshot(&number));
        OK(stillheap_wait_durable(number, NULL));
        nanosleep(&tenth, NULL);
        OK(stillheap_scope_enter());
        code = stillheap_touch(first, (size_t)(last - first) + size);
        OK(stillheap_scope_leave());
    }
    EXPECT(code == STILLHEAP_BAD_BLOCK);
    OK(stillheap_close(NULL));
}

/* The system gives no threads: when that is noticed, the image has been taken in. */
static void no_thread(const char *heap) {
    void *out;
    for (int tries = 0; tries < 2; tries++) {
        FAILS(STILLHEAP_SYSTEM, stillheap_open(heap, NULL));
        EXPECT(strstr(stillheap_last_error(), "start the program again") != NULL);
        EXPECT(!stillheap_is_open() && !stillheap_contains((void *)0x200000000000));
        GIVES_NULL(STILLHEAP_NOT_OPEN, stillheap_alloc(8));
        GIVES_NULL(STILLHEAP_NOT_OPEN, stillheap_alloc_tracked(8));
        FAILS(STILLHEAP_NOT_OPEN, stillheap_scope_enter());
        FAILS(STILLHEAP_NOT_OPEN, stillheap_root_open("number", "int", 4, 4, &out, NULL));
        FAILS(STILLHEAP_NOT_OPEN, stillheap_close(NULL));
    }
}

/* With threads all is as before: counts how often. */
static void with_threads(const char *heap) {
    void *number;
    OK(stillheap_open(heap, NULL));
    OK(stillheap_root_open("number", "int", sizeof(int), sizeof(int), &number, NULL));
    OK(stillheap_scope_enter());
    printf("%d\n", ++*(int *)number);
    OK(stillheap_scope_leave());
    OK(stillheap_close(NULL));
}

int main(int argc, char **argv) {
    static const struct part parts[] = {{"touch_between", touch_between},
                                        {"no_thread", no_thread},
                                        {"with_threads", with_threads}};
    return run_part(parts, sizeof parts / sizeof parts[0], argc, argv);
}
