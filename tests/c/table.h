/* A root, and a listener to events, of the C tests. */
#ifndef TABLE_H
#define TABLE_H

#include <string.h>

#include "expect.h"

struct table {
    uint64_t width;
    char *text;
    uint64_t *tracked;
    struct table *self;
};

#define TABLE "table 1", sizeof(struct table), _Alignof(struct table)

static struct table *table_of(int is_new) {
    void *found = NULL;
    int made = -1;
    OK(stillheap_root_open("table", TABLE, &found, &made));
    EXPECT(made == is_new);
    return found;
}

static int heard[16];

static void on_event(const stillheap_event *event, void *user) {
    EXPECT(user == heard && event->text[0] != 0 && event->kind > 0 && event->kind < 16);
    EXPECT((event->kind == STILLHEAP_EVENT_DURABLE) == (event->still != NULL));
    EXPECT(event->still == NULL || event->still->number == event->number);
    FAILS(STILLHEAP_IN_CALLBACK, stillheap_snapshot(NULL));
    FAILS(STILLHEAP_IN_CALLBACK, stillheap_close(NULL));
    FAILS(STILLHEAP_IN_CALLBACK, stillheap_wait_durable(1, NULL));
    __atomic_fetch_add(&heard[event->kind], 1, __ATOMIC_SEQ_CST);
}

#endif
