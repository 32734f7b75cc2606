/* What is refused, and what holds then.
 *
 *     refusals PART HEAP
 */
#define _GNU_SOURCE
#include <string.h>
#include <time.h>

#include "expect.h"

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

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(const char *heap);
    } parts[] = {{"touch_between", touch_between}};
    EXPECT(argc == 3);
    for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
        if (strcmp(parts[part].name, argv[1]) == 0) {
            parts[part].run(argv[2]);
            return 0;
        }
    }
    return 2;
}
