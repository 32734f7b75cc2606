/* A test program's parts: which of them runs, and with which heap, its arguments say. */
#ifndef PARTS_H
#define PARTS_H

#include <string.h>

#include "expect.h"

struct part {
    const char *name;
    void (*run)(const char *heap);
};

/* What `main` gives. */
static int run_part(const struct part *parts, size_t count, int argc, char **argv) {
    EXPECT(argc == 3);
    for (size_t part = 0; part < count; part++) {
        if (strcmp(parts[part].name, argv[1]) == 0) {
            parts[part].run(argv[2]);
            return 0;
        }
    }
    return 2;
}

#endif
