/* The reader of reconverge.h, built for this machine, over the golden blocks: cc -o golden golden.c && ./golden ../golden
 *
 * A reader that has no JSON: each block that NAME.json calls broken (`"readable": false`) must be refused in one of its
 * columns as its base has them, each other one read; of worked-example the cells are compared too. Text is checked
 * by the host before a plugin sees it, so that bad-text reads. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reconverge.h"

static char *file(const char *folder, const char *name, const char *extension, uint32_t *length) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.%s", folder, name, extension);
    FILE *from = fopen(path, "rb");
    if (!from) { perror(path); exit(1); }
    char *bytes = calloc(1, 1 << 20);
    *length = (uint32_t)fread(bytes, 1, (1 << 20) - 1, from);
    fclose(from);
    return bytes;
}
static uint32_t kind_of(const char *logical) {
    if (!strncmp(logical, "bool\"", 5)) return RC_BITS;
    if (!strncmp(logical, "float\"", 6)) return RC_FLOAT64;
    if (!strncmp(logical, "int\"", 4) || !strncmp(logical, "timestamp\"", 10) || !strncmp(logical, "date\"", 5) || !strncmp(logical, "time\"", 5)) return RC_INT64;
    return RC_PACKED;
}
/* The value behind `"name": ` of a description; null where it does not stand there. */
static char *after(char *json, const char *name) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    char *at = strstr(json, wanted);
    if (!at) return 0;
    at += strlen(wanted);
    while (*at == ' ') at++;
    return at;
}

static int failures;
static void check(bool holds, const char *name, const char *what) {
    if (!holds) { printf("%s: %s\n", name, what); failures++; }
}

static void block(const char *folder, const char *name) {
    uint32_t length, ignored;
    char *json = file(folder, name, "json", &ignored), *whole = json, *base = after(json, "base");
    if (base) {
        char of[64] = "";
        sscanf(base, "\"%63[^\"]\"", of);
        whole = file(folder, of, "json", &ignored);
    }
    char *rows_at = after(json, "rows"), *readable = after(json, "readable");
    uint32_t rows = (uint32_t)atoi(rows_at ? rows_at : after(whole, "rows"));
    bool broken = readable && !strncmp(readable, "false", 5);
    uint8_t *bytes = (uint8_t *)file(folder, name, "bin", &length);
    uint32_t columns = 0, faults = 0;
    for (char *logical = whole; (logical = after(logical, "logical")); columns++) {
        rc_column column;
        faults += !rc_read(bytes, length, rows, columns, kind_of(logical + 1), &column);
    }
    faults += length < 8 || rc_word(bytes) != columns || rc_word(bytes + 4) < 16;
    if (strcmp(name, "bad-text")) check(broken == (faults > 0), name, broken ? "was read" : "was not read");
    if (!strcmp(name, "worked-example")) {
        rc_column numbers, texts;
        check(rc_read(bytes, length, 3, 0, RC_INT64, &numbers) && rc_read(bytes, length, 3, 1, RC_PACKED, &texts), name, "no columns");
        check(rc_int(&numbers, 0) == 42 && rc_state(&numbers, 1) == RC_NULL && rc_int(&numbers, 2) == -1, name, "other numbers");
        check(equal_text(rc_text(&texts, 0), TEXT("us-east")) && rc_text(&texts, 1).length == 0 && equal_text(rc_text(&texts, 2), TEXT("\xc3\xa9")), name, "other texts");
    }
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    DIR *folder = opendir(arguments[1]);
    if (!folder) { perror(arguments[1]); return 1; }
    int blocks = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[256];
        size_t length = strlen(entry->d_name);
        if (length < 5 || strcmp(entry->d_name + length - 4, ".bin")) continue;
        snprintf(name, sizeof name, "%.*s", (int)(length - 4), entry->d_name);
        block(arguments[1], name);
        blocks++;
    }
    check(blocks > 20, arguments[1], "too few blocks");
    printf("%d blocks, %d failures\n", blocks, failures);
    return failures > 0;
}
