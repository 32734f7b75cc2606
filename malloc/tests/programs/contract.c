/* What each function of the malloc family promises. Run with the name of a check. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what)                                                                    \
    do {                                                                               \
        if (!(what)) {                                                                 \
            fprintf(stderr, "%s:%d: not so: %s\n", __func__, __LINE__, #what);         \
            _exit(1);                                                                  \
        }                                                                              \
    } while (0)

#define THREADS 4

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void fill(unsigned char *block, size_t from, size_t to) {
    for (size_t at = from; at < to; at++) block[at] = (unsigned char)(at * 31 + at / 253);
}

static int is_filled(const unsigned char *block, size_t len) {
    for (size_t at = 0; at < len; at++)
        if (block[at] != (unsigned char)(at * 31 + at / 253)) return 0;
    return 1;
}

static int is_zero(const unsigned char *block, size_t len) {
    for (size_t at = 0; at < len; at++)
        if (block[at]) return 0;
    return 1;
}

static int is_aligned(const void *block, size_t align) { return (uintptr_t)block % align == 0; }

/* The address range that the allocator reserves. */
static int is_ours(const void *block) {
    return (uintptr_t)block >= 0x200000000000 && (uintptr_t)block < 0x300000000000;
}

static void ours(void) {
    void *small = malloc(1), *large = malloc(100 << 20);
    CHECK(is_ours(small) && is_ours(large));
    free(small);
    free(large);
}

static void sizes(void) {
    enum { KEPT = 97 };
    unsigned char *kept[KEPT] = {0};
    size_t lens[KEPT] = {0};
    for (size_t size = 0; size <= 64 << 10; size++) {
        unsigned char *block = malloc(size);
        size_t usable = malloc_usable_size(block);
        CHECK(block && is_aligned(block, 16) && usable >= size);
        memset(block, (int)(size % 251), usable);
        size_t place = size % KEPT;
        if (kept[place]) {
            for (size_t at = 0; at < lens[place]; at++)
                CHECK(kept[place][at] == (size - KEPT) % 251);
            free(kept[place]);
        }
        kept[place] = block;
        lens[place] = usable;
    }
    for (size_t place = 0; place < KEPT; place++) free(kept[place]);
    void *none = malloc(0), *other = malloc(0);
    CHECK(none && other && none != other);
    free(none);
    free(other);
    free(NULL);
    CHECK(malloc_usable_size(NULL) == 0);
}

static void reallocs(void) {
    for (int round = 0; round < 12; round++) {
        size_t len = 0, most = round % 4 == 3 ? 9 << 20 : 200 << 10;
        unsigned char *block = NULL;
        for (int step = 0; step < 60; step++) {
            size_t to = 1 + next_random() % (step % 3 ? most : 3000);
            unsigned char *moved = step % 2 ? realloc(block, to) : reallocarray(block, 1, to);
            CHECK(moved && is_aligned(moved, 16) && malloc_usable_size(moved) >= to);
            CHECK(is_filled(moved, len < to ? len : to));
            fill(moved, 0, to);
            block = moved;
            len = to;
        }
        free(block);
    }
    unsigned char *grown = NULL;
    for (size_t len = 1; len < 200000; len += 13) {
        grown = realloc(grown, len);
        CHECK(grown && is_filled(grown, len > 13 ? len - 13 : 0));
        fill(grown, len > 13 ? len - 13 : 0, len);
    }
    CHECK(realloc(grown, 0) == NULL);
    void *fresh = realloc(NULL, 100);
    CHECK(fresh && reallocarray(fresh, 0, 7) == NULL);
}

static void callocs(void) {
    static const size_t counts[] = {1, 3, 17, 100, 1000, 4096, 33000, 70000, 300000, 2500000, 9000000};
    for (size_t index = 0; index < sizeof counts / sizeof *counts; index++) {
        size_t count = counts[index];
        for (int round = 0; round < 4; round++) {
            unsigned char *dirty[8], *clean[8];
            for (int at = 0; at < 8; at++) memset(dirty[at] = malloc(count * 2), 0xff, count * 2);
            for (int at = 0; at < 8; at++) free(dirty[at]);
            for (int at = 0; at < 8; at++) {
                clean[at] = calloc(count, 2);
                CHECK(clean[at] && is_aligned(clean[at], 16) && is_zero(clean[at], count * 2));
                memset(clean[at], 0xff, count * 2);
            }
            for (int at = 0; at < 8; at++) free(clean[at]);
        }
    }
    void *empty = calloc(0, 8);
    CHECK(empty);
    free(empty);
}

#define FAILS_WITH(error, call) (errno = 0, (call) == NULL && errno == (error))

static void errors(void) {
    volatile size_t huge = SIZE_MAX, half = (size_t)PTRDIFF_MAX + 1, most = PTRDIFF_MAX;
    unsigned char *block = malloc(100);
    fill(block, 0, 100);
    CHECK(FAILS_WITH(ENOMEM, malloc(huge)) && FAILS_WITH(ENOMEM, malloc(half)));
    CHECK(FAILS_WITH(ENOMEM, malloc(most)) && FAILS_WITH(ENOMEM, malloc((size_t)1 << 46)));
    CHECK(FAILS_WITH(ENOMEM, calloc(half, 2)) && FAILS_WITH(ENOMEM, calloc(huge, huge)));
    CHECK(FAILS_WITH(ENOMEM, calloc(most, 1)));
    CHECK(FAILS_WITH(ENOMEM, realloc(block, half)) && FAILS_WITH(ENOMEM, realloc(block, most)));
    CHECK(FAILS_WITH(ENOMEM, reallocarray(block, half, 2)));
    CHECK(FAILS_WITH(ENOMEM, memalign(64, most)) && FAILS_WITH(ENOMEM, aligned_alloc(64, half)));
    CHECK(FAILS_WITH(ENOMEM, valloc(huge)) && FAILS_WITH(ENOMEM, pvalloc(huge)));
    CHECK(FAILS_WITH(EINVAL, memalign(half + 1, 1)));
    CHECK(is_filled(block, 100));
    void *same = block;
    CHECK(posix_memalign(&same, 24, 8) == EINVAL && posix_memalign(&same, 4, 8) == EINVAL);
    CHECK(posix_memalign(&same, 0, 8) == EINVAL && posix_memalign(&same, 64, half) == ENOMEM);
    CHECK(same == block);
    errno = ERANGE;
    free(block);
    CHECK(errno == ERANGE);
    /* Giving memory back to the system makes system calls. */
    for (size_t size = 1; size < 200 << 20; size *= 3) {
        block = malloc(size);
        errno = ERANGE;
        free(block);
        CHECK(errno == ERANGE);
    }
}

static void alignments(void) {
    for (size_t align = 16; align <= 64 << 20; align *= 2) {
        static const size_t sizes[] = {0, 1, 100, 3000, 5000, 40000, 300000, 2 << 20, 3 << 20};
        for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
            size_t size = sizes[index];
            void *blocks[4];
            blocks[0] = memalign(align, size);
            blocks[1] = aligned_alloc(align, size);
            CHECK(posix_memalign(&blocks[2], align, size) == 0);
            blocks[3] = memalign(align - 3, size);
            for (int at = 0; at < 4; at++) {
                CHECK(blocks[at] && is_aligned(blocks[at], align));
                size_t usable = malloc_usable_size(blocks[at]);
                CHECK(usable >= size);
                fill(blocks[at], 0, size);
            }
            for (int at = 0; at < 4; at++) {
                CHECK(is_filled(blocks[at], size));
                unsigned char *moved = realloc(blocks[at], size + 5000);
                CHECK(moved && is_filled(moved, size));
                free(moved);
            }
        }
    }
    unsigned char *page = valloc(100), *pages = pvalloc(5000);
    CHECK(page && pages && is_aligned(page, 4096) && is_aligned(pages, 4096));
    CHECK(malloc_usable_size(pages) >= 8192);
    memset(pages, 1, 8192);
    free(page);
    free(pages);
}

static void odd_aligned_alloc(void) {
    CHECK(FAILS_WITH(EINVAL, aligned_alloc(48, 96)) && FAILS_WITH(EINVAL, aligned_alloc(0, 8)));
    void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    void (*free_aligned_sized)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");
    CHECK(free_sized && free_aligned_sized);
    free_sized(malloc(77), 77);
    free_aligned_sized(aligned_alloc(64, 128), 64, 128);
    free_sized(NULL, 0);
    CHECK(malloc_trim(0) == 0 || malloc_trim(0) == 1);
}

/* Blocks go round in a ring of threads, each of which frees what it gets. */
static void *_Atomic slots[THREADS][512];
static pthread_barrier_t barrier;

static void *exchange(void *number) {
    size_t own = (size_t)number, next = (own + 1) % THREADS;
    uint64_t random = own * 7919 + 12345;
    pthread_barrier_wait(&barrier);
    for (int step = 0; step < 400000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t size = 16 + (random >> 33) % (step % 100 ? 700 : 60000);
        size_t *block = malloc(size);
        block[0] = size;
        ((unsigned char *)block)[size - 1] = (unsigned char)size;
        size_t *other = __atomic_exchange_n(&slots[next][step % 512], block, __ATOMIC_ACQ_REL);
        if (other) {
            size = other[0];
            CHECK(size >= 16 && size < 70000);
            CHECK(((unsigned char *)other)[size - 1] == (unsigned char)size);
            free(other);
        }
    }
    return NULL;
}

static void threads(void) {
    pthread_t ids[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (size_t at = 0; at < THREADS; at++)
        CHECK(!pthread_create(&ids[at], NULL, exchange, (void *)at));
    for (size_t at = 0; at < THREADS; at++) CHECK(!pthread_join(ids[at], NULL));
    for (size_t at = 0; at < THREADS; at++)
        for (size_t slot = 0; slot < 512; slot++) free(slots[at][slot]);
}

/* Destructors that allocate, free, and set themselves again, until the C library gives up. */
static pthread_key_t keys[3];

static void destroy(void *value) {
    unsigned char *block = value;
    CHECK(is_filled(block, 100));
    unsigned char *again = malloc(100);
    fill(again, 0, 100);
    free(block);
    for (int at = 0; at < 3; at++)
        if (!pthread_getspecific(keys[at])) {
            pthread_setspecific(keys[at], again);
            return;
        }
    free(again);
}

static void *brief(void *own) {
    for (int at = 0; at < 3; at++) {
        unsigned char *block = malloc(100);
        fill(block, 0, 100);
        pthread_setspecific(keys[at], block);
    }
    /* Has the C library allocate something that it frees after all destructors. */
    CHECK(!dlsym(RTLD_DEFAULT, "no such function") && !dlopen("no such library", RTLD_NOW));
    CHECK(strlen(strerror(123456)) > 0);
    free(own);
    return malloc(50);
}

static void exits(void) {
    for (int at = 0; at < 3; at++) CHECK(!pthread_key_create(&keys[at], destroy));
    for (int round = 0; round < 300; round++) {
        pthread_t ids[THREADS];
        for (int at = 0; at < THREADS; at++)
            CHECK(!pthread_create(&ids[at], NULL, brief, malloc(30)));
        for (int at = 0; at < THREADS; at++) {
            void *block = NULL;
            CHECK(!pthread_join(ids[at], &block) && block);
            free(block);
        }
    }
}

/* More threads than the allocator has room for at once, one after the other. */
static void many(void) {
    for (int at = 0; at < 3; at++) CHECK(!pthread_key_create(&keys[at], destroy));
    for (int count = 0; count < 70000; count++) {
        pthread_t id;
        void *block = NULL;
        CHECK(!pthread_create(&id, NULL, brief, malloc(30)) && !pthread_join(id, &block));
        CHECK(is_ours(block));
        free(block);
    }
}

static void *_Atomic shared[64];
static int _Atomic stop;

static void *churn(void *number) {
    uint64_t random = (size_t)number + 99;
    while (!stop) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned char *block = malloc(1 + (random >> 40) % 40000);
        block[0] = 1;
        free(__atomic_exchange_n(&shared[(random >> 20) % 64], block, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static void in_child(void) {
    unsigned char *blocks[500];
    for (int at = 0; at < 500; at++) {
        blocks[at] = malloc((size_t)at * 97 % 50000 + 1);
        fill(blocks[at], 0, (size_t)at * 97 % 50000 + 1);
    }
    for (int at = 0; at < 64; at++) free(__atomic_exchange_n(&shared[at], NULL, __ATOMIC_ACQ_REL));
    for (int at = 0; at < 500; at++) {
        CHECK(is_filled(blocks[at], (size_t)at * 97 % 50000 + 1));
        free(blocks[at]);
    }
    free(malloc(20 << 20));
    pthread_t id;
    void *block = NULL;
    CHECK(!pthread_create(&id, NULL, brief, malloc(30)) && !pthread_join(id, &block));
    free(block);
}

static void forks(void) {
    pthread_t ids[THREADS];
    for (size_t at = 0; at < THREADS; at++)
        CHECK(!pthread_create(&ids[at], NULL, churn, (void *)at));
    for (int round = 0; round < 30; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            in_child();
            _exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    stop = 1;
    for (size_t at = 0; at < THREADS; at++) CHECK(!pthread_join(ids[at], NULL));
}

/* Before main, and after it. */
static unsigned char *early;

__attribute__((constructor)) static void construct(void) {
    early = malloc(1000);
    fill(early, 0, 1000);
    free(malloc(70000));
}

static void at_exit(void) {
    CHECK(is_filled(early, 1000));
    early = realloc(early, 2000);
    CHECK(is_filled(early, 1000));
    free(malloc(300));
}

__attribute__((destructor)) static void destruct(void) {
    CHECK(is_filled(early, 1000));
    free(early);
    free(calloc(3, 1000));
}

/* Mistakes, each of which is the end. */
static void double_free(void) {
    char *volatile block = malloc(40);
    free(block);
    free(block);
}

static void double_free_of_pages(void) {
    char *volatile block = malloc(100000);
    free(block);
    free(block);
}

static void inner_free(void) {
    char *volatile block = malloc(400);
    free(block + 16);
}

static void stack_free(void) {
    char block[64];
    char *volatile inner = block + 16;
    free(inner);
}

static void foreign_realloc(void) {
    static char block[64];
    char *volatile inner = block + 16;
    free(realloc(inner, 100));
}

/* With too little address space for a heap. */
static void limited(void) {
    void *block = malloc(100);
    CHECK(!is_ours(block) && malloc_usable_size(block) >= 100);
    block = realloc(block, 100000);
    free(block);
    callocs();
    alignments();
    exits();
}

static const struct {
    const char *name;
    void (*call)(void);
} checks[] = {
    {"ours", ours}, {"sizes", sizes}, {"reallocs", reallocs}, {"callocs", callocs},
    {"errors", errors}, {"alignments", alignments}, {"odd_aligned_alloc", odd_aligned_alloc},
    {"threads", threads}, {"exits", exits}, {"many", many}, {"forks", forks},
    {"double_free", double_free}, {"double_free_of_pages", double_free_of_pages},
    {"inner_free", inner_free}, {"stack_free", stack_free}, {"foreign_realloc", foreign_realloc},
    {"limited", limited},
};

int main(int count, char **words) {
    atexit(at_exit);
    for (size_t at = 0; count == 2 && at < sizeof checks / sizeof *checks; at++)
        if (!strcmp(words[1], checks[at].name)) {
            checks[at].call();
            return 0;
        }
    fprintf(stderr, "no such check\n");
    return 2;
}
