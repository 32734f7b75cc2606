/* What the C tests say when something is not as it should be. */
#ifndef EXPECT_H
#define EXPECT_H

#include <stdio.h>
#include <stdlib.h>

#include "stillheap.h"

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n  last error: %s: %s\n", __FILE__, __LINE__,       \
                    #condition, stillheap_code_name(stillheap_last_code()),                        \
                    stillheap_last_error());                                                       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define OK(call) EXPECT((call) == STILLHEAP_OK)

/* The call fails with that code, which can be asked for afterwards, and with a text. */
#define FAILS(code, call)                                                                          \
    do {                                                                                           \
        EXPECT((call) == (code));                                                                  \
        EXPECT(stillheap_last_code() == (code) && stillheap_last_error()[0] != 0);                 \
    } while (0)

/* The same for one that gives memory. */
#define GIVES_NULL(code, call)                                                                     \
    do {                                                                                           \
        EXPECT((call) == NULL);                                                                    \
        EXPECT(stillheap_last_code() == (code) && stillheap_last_error()[0] != 0);                 \
    } while (0)

#endif
