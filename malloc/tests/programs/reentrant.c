/* The first allocation makes the heap, with functions of the C library that may allocate. Here one
   does: this program defines it for the allocator, too. To be linked with -rdynamic. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                                    \
    do {                                                                               \
        if (!(what)) {                                                                 \
            fprintf(stderr, "%s:%d: not so: %s\n", __func__, __LINE__, #what);         \
            exit(1);                                                                   \
        }                                                                              \
    } while (0)

static char *kept[3];
static int calls;

int pthread_key_create(pthread_key_t *key, void (*destroy)(void *)) {
    int (*own)(pthread_key_t *, void (*)(void *)) =
        (int (*)(pthread_key_t *, void (*)(void *)))dlsym(RTLD_NEXT, "pthread_key_create");
    if (calls++ == 0) {
        kept[0] = malloc(100);
        kept[1] = calloc(10, 10);
        kept[2] = aligned_alloc(256, 256);
        for (int at = 0; at < 3; at++) memset(kept[at], 'a' + at, 100);
        kept[0] = realloc(kept[0], 5000);
        free(malloc(10));
    }
    return own(key, destroy);
}

static int is_ours(const void *block) {
    return (uintptr_t)block >= 0x200000000000 && (uintptr_t)block < 0x300000000000;
}

int main(void) {
    char *block = malloc(1);
    CHECK(calls == 1 && is_ours(block));
    free(block);
    for (int at = 0; at < 3; at++) {
        CHECK(kept[at] && !is_ours(kept[at]) && malloc_usable_size(kept[at]) >= 100);
        for (int byte = 0; byte < 100; byte++) CHECK(kept[at][byte] == 'a' + at);
        kept[at] = realloc(kept[at], 20000);
        CHECK(kept[at] && kept[at][99] == 'a' + at);
        free(kept[at]);
    }
    return 0;
}
