/* Notes by key, in a hash table that survives kill -9.
 *
 *     notes HEAP set KEY TEXT...   keeps a note
 *     notes HEAP get KEY           shows it
 *     notes HEAP del KEY           forgets it
 *     notes HEAP list              shows all
 *     notes HEAP stress [STEPS]    changes notes of its own until STEPS have been done, or for ever;
 *                                  says "durable N" when the first N changes will survive anything
 *     notes HEAP check             whether those notes are as some number of changes leaves them
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stillheap.h"

struct note {
    struct note *next;
    uint64_t hash;
    char *key;
    char *text;
};

/* The root. */
struct notes {
    uint64_t steps; /* changes that `stress` has made, over all runs */
    size_t count;
    size_t width; /* of the table: a power of two, or 0 */
    struct note **table;
};

static void must(int code) {
    if (code != STILLHEAP_OK) {
        fprintf(stderr, "notes: %s\n", stillheap_last_error());
        exit(1);
    }
}

/* A half-done change cannot be undone: the last snapshot is whole. */
static void *must_have(void *block) {
    if (block == NULL) {
        fprintf(stderr, "notes: %s\n", stillheap_last_error());
        abort();
    }
    return block;
}

static char *copy(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(must_have(stillheap_alloc(size)), text, size);
}

static uint64_t hash_of(const char *key) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *key != 0; key++) {
        hash = (hash ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
    }
    return hash ^ hash >> 29;
}

/* The place that points to the note, or where it would be linked in. */
static struct note **find(const struct notes *notes, const char *key) {
    uint64_t hash = hash_of(key);
    struct note **place = &notes->table[hash & (notes->width - 1)];
    while (*place != NULL && ((*place)->hash != hash || strcmp((*place)->key, key) != 0)) {
        place = &(*place)->next;
    }
    return place;
}

static const struct note *look_up(const struct notes *notes, const char *key) {
    return notes->width == 0 ? NULL : *find(notes, key);
}

static void widen(struct notes *notes) {
    size_t width = notes->width == 0 ? 16 : notes->width * 2;
    struct note **table = must_have(stillheap_calloc(width, sizeof(struct note *)));
    for (size_t row = 0; row < notes->width; row++) {
        struct note *note = notes->table[row];
        while (note != NULL) {
            struct note *next = note->next;
            note->next = table[note->hash & (width - 1)];
            table[note->hash & (width - 1)] = note;
            note = next;
        }
    }
    must(stillheap_free(notes->table));
    notes->table = table;
    notes->width = width;
}

/* The three that change notes are called in a scope. */
static void set(struct notes *notes, const char *key, const char *text) {
    if (notes->count >= notes->width) {
        widen(notes);
    }
    struct note **place = find(notes, key);
    if (*place == NULL) {
        struct note *note = must_have(stillheap_calloc(1, sizeof *note));
        note->hash = hash_of(key);
        note->key = copy(key);
        *place = note;
        notes->count++;
    }
    struct note *note = *place;
    must(stillheap_free(note->text));
    note->text = copy(text);
}

static void append(struct notes *notes, const char *key, const char *more) {
    struct note *note = notes->width == 0 ? NULL : *find(notes, key);
    if (note != NULL) {
        size_t size = strlen(note->text) + strlen(more) + 1;
        note->text = must_have(stillheap_realloc(note->text, size));
        strcat(note->text, more);
    }
}

static int forget(struct notes *notes, const char *key) {
    struct note **place = notes->width == 0 ? NULL : find(notes, key);
    struct note *note = place == NULL ? NULL : *place;
    if (note == NULL) {
        return 0;
    }
    *place = note->next;
    notes->count--;
    must(stillheap_free(note->key));
    must(stillheap_free(note->text));
    must(stillheap_free(note));
    return 1;
}

/* ---- Changes that can be told from their number ---- */

static uint64_t mix(uint64_t number) {
    number = (number ^ number >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    return number ^ number >> 29;
}

/* Which note of the program's own the change is about. */
static uint64_t subject(uint64_t step) { return step % 3 == 0 ? step : mix(step) % step; }

static void name(char *key, size_t size, uint64_t number) {
    snprintf(key, size, "#%" PRIu64, number);
}

static void text_of(char *text, size_t size, uint64_t number) {
    size_t len = (size_t)snprintf(text, size, "note %" PRIu64 " ", number);
    size_t more = mix(number) % 200;
    for (size_t at = 0; at < more && len + 1 < size; at++) {
        text[len++] = (char)('a' + number % 26);
    }
    text[len] = 0;
}

static void change(struct notes *notes, uint64_t step) {
    char key[32], text[300];
    name(key, sizeof key, subject(step));
    switch (step % 3) {
    case 0:
        text_of(text, sizeof text, step);
        set(notes, key, text);
        break;
    case 1:
        append(notes, key, "!");
        break;
    default:
        forget(notes, key);
    }
    notes->steps = step;
}

/* Steps from one snapshot to the next, and those that go on while it is written. */
enum { ROUND = 400, AHEAD = 100 };

static void stress(struct notes *notes, uint64_t steps) {
    while (notes->steps < steps) {
        uint64_t number, frozen = notes->steps;
        must(stillheap_snapshot(&number));
        for (int left = ROUND; left > 0 && notes->steps < steps; left--) {
            if (left == ROUND - AHEAD) {
                must(stillheap_wait_durable(number, NULL));
                printf("durable %" PRIu64 "\n", frozen);
                fflush(stdout);
            }
            must(stillheap_scope_enter());
            change(notes, notes->steps + 1);
            must(stillheap_scope_leave());
        }
    }
}

static int check(const struct notes *notes) {
    uint64_t steps = notes->steps, wrong = 0, expected = 0, own = 0;
    /* Of each note: 0 if it is not there, else one more than it has been appended to. */
    uint32_t *model = calloc(steps + 1, sizeof *model);
    for (uint64_t step = 1; step <= steps; step++) {
        uint32_t *note = &model[subject(step)];
        *note = step % 3 == 0 ? 1 : step % 3 == 2 || *note == 0 ? 0 : *note + 1;
    }
    for (uint64_t number = 0; number <= steps; number++) {
        char key[32], text[300];
        name(key, sizeof key, number);
        text_of(text, sizeof text, number);
        const struct note *note = look_up(notes, key);
        size_t len = strlen(text);
        int is_right = note == NULL ? model[number] == 0
                                    : model[number] == strlen(note->text) - len + 1 &&
                                          strncmp(note->text, text, len) == 0 &&
                                          strspn(note->text + len, "!") + 1 == model[number];
        wrong += !is_right;
        expected += model[number] != 0;
    }
    free(model);
    size_t found = 0;
    for (size_t row = 0; row < notes->width; row++) {
        for (const struct note *note = notes->table[row]; note != NULL; note = note->next) {
            found++;
            own += note->key[0] == '#';
            wrong += note->hash != hash_of(note->key) || (note->hash & (notes->width - 1)) != row;
        }
    }
    wrong += own != expected || found != notes->count;
    printf("%s after %" PRIu64 " changes: %" PRIu64 " notes\n", wrong == 0 ? "sound" : "WRONG",
           steps, expected);
    return wrong != 0;
}

static void list(const struct notes *notes) {
    for (size_t row = 0; row < notes->width; row++) {
        for (const struct note *note = notes->table[row]; note != NULL; note = note->next) {
            printf("%s: %s\n", note->key, note->text);
        }
    }
}

/* The words from `first` on, with spaces between. */
static void join(char *text, size_t size, char **words, int count) {
    size_t len = 0;
    for (int at = 0; at < count && len < size; at++) {
        len += (size_t)snprintf(text + len, size - len, "%s%s", at > 0 ? " " : "", words[at]);
    }
}

static int usage(void) {
    fprintf(stderr, "usage: notes HEAP set KEY TEXT... | get KEY | del KEY | list | stress [STEPS]"
                    " | check\n");
    return 2;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        return usage();
    }
    const char *command = argv[2], *key = argc > 3 ? argv[3] : NULL;
    /* Snapshots come by themselves, too, whenever so many changes have been made. */
    stillheap_options *options = must_have(stillheap_options_new());
    must(stillheap_options_snapshot_every_ops(options, 90));
    must(stillheap_open(argv[1], options));
    stillheap_options_free(options);
    void *found;
    must(stillheap_root_open("notes", "notes 1", sizeof(struct notes), _Alignof(struct notes),
                             &found, NULL));
    struct notes *notes = found;
    int status = 0;
    if (strcmp(command, "set") == 0 && argc > 4) {
        char text[4096];
        join(text, sizeof text, argv + 4, argc - 4);
        must(stillheap_scope_enter());
        set(notes, key, text);
        must(stillheap_scope_leave());
    } else if (strcmp(command, "get") == 0 && key != NULL) {
        const struct note *note = look_up(notes, key);
        status = note == NULL;
        printf("%s\n", note == NULL ? "there is no such note" : note->text);
    } else if (strcmp(command, "del") == 0 && key != NULL) {
        must(stillheap_scope_enter());
        status = !forget(notes, key);
        must(stillheap_scope_leave());
    } else if (strcmp(command, "list") == 0) {
        list(notes);
    } else if (strcmp(command, "stress") == 0) {
        stress(notes, key == NULL ? UINT64_MAX : strtoull(key, NULL, 10));
    } else if (strcmp(command, "check") == 0) {
        status = check(notes);
    } else {
        status = usage();
    }
    must(stillheap_close(NULL));
    return status;
}
