/* Write Reconverge plugins in C: the columns are declared once, a function decides about one row.
 *
 *   #define ROW(COLUMN, OPTIONAL) COLUMN(int, modification_epoch) COLUMN(text, region_source)
 *   #include "reconverge.h"
 *   static verdict decide(const row *incoming, const row *current) { .. }
 *   MERGE("schedule-merge-c", "0.1.0", decide)
 *
 * A COLUMN that is null or was not sent fails its change; an OPTIONAL one has `has_NAME` beside it. Types: bool, int,
 * timestamp, date, time (int64_t), float (double), text, decimal, json, bytes, uuid (text). With WRITES declared the
 * function takes a third parameter, `written *`, whose fields are set by PUT(out, column, value) and NULLED(out, column).
 *
 * No libc: `reconverge plugin build` compiles for a freestanding machine. Memory from `rc_alloc` lasts until the answer
 * of the call is read. The reader below is also built natively, with the golden blocks (golden.c).
 */
#ifndef RECONVERGE_H
#define RECONVERGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef ROW
#define ROW(COLUMN, OPTIONAL)
#endif

/* Bytes in the block of a call: text in UTF-8, compared by its bytes. */
typedef struct { const char *bytes; uint32_t length; } text;
#define TEXT(words) ((text){ words, sizeof(words) - 1 })

static inline int compare_int(int64_t a, int64_t b) { return (a > b) - (a < b); }
static inline int compare_text(text a, text b) {
    for (uint32_t i = 0; i < a.length && i < b.length; i++)
        if (a.bytes[i] != b.bytes[i]) return (unsigned char)a.bytes[i] < (unsigned char)b.bytes[i] ? -1 : 1;
    return (a.length > b.length) - (a.length < b.length);
}
static inline bool equal_text(text a, text b) { return compare_text(a, b) == 0; }

/* What becomes of a row: a code of the stage and a reason, fixed words that hold no value of the row. */
typedef struct { uint8_t code; const char *because; } verdict;
static const verdict KEEP_CURRENT = { 0, 0 }, TAKE_INCOMING = { 1, 0 }, TAKE_WRITTEN = { 2, 0 }, DELETE = { 3, 0 };
static const verdict DROP = { 0, 0 }, SUPPRESS = { 0, 0 }, KEEP = { 1, 0 }, KEEP_WRITTEN = { 2, 0 };
static inline verdict because(verdict v, const char *why) { v.because = why; return v; }
static inline verdict archive_loser(verdict v) { v.code |= 128; return v; }
static inline verdict reject(const char *why) { return (verdict){ 4, why }; }
static inline verdict fail(const char *why) { return (verdict){ 255, why }; }

/* --- A block: columns in one run of bytes, as wit/README.md lays them out. --- */

enum { RC_BITS = 1, RC_INT64 = 2, RC_FLOAT64 = 3, RC_PACKED = 4 };
enum { RC_NULL = 0, RC_VALUE = 1, RC_UNSENT = 2, RC_NO_ROW = 3 };
typedef struct { const uint8_t *states, *cells, *data; uint32_t kind; } rc_column;

static inline uint32_t rc_word(const uint8_t *at) {
    return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
}
static inline bool rc_inside(uint32_t length, uint32_t at, uint64_t size, uint32_t align) {
    return at % align == 0 && at + size <= length;
}
/* Column `k` of a block; false where it is not of this kind or lies outside. */
static bool rc_read(const uint8_t *block, uint32_t length, uint32_t rows, uint32_t k, uint32_t kind, rc_column *into) {
    if (length < 8 || rc_word(block + 4) < 16 || k >= rc_word(block)) return false;
    uint64_t head = 8 + (uint64_t)k * rc_word(block + 4);
    if (head + 16 > length || rc_word(block + head) != kind) return false;
    uint32_t states = rc_word(block + head + 4), cells = rc_word(block + head + 8), data = rc_word(block + head + 12);
    uint64_t size = kind == RC_BITS ? rows : kind == RC_PACKED ? 4 * ((uint64_t)rows + 1) : 8 * (uint64_t)rows;
    if ((states && !rc_inside(length, states, rows, 1)) || !rc_inside(length, cells, size, kind == RC_BITS ? 1 : kind == RC_PACKED ? 4 : 8)) return false;
    *into = (rc_column){ states ? block + states : 0, block + cells, block + data, kind };
    for (uint32_t i = 0; states && i < rows; i++) if (block[states + i] > RC_NO_ROW) return false;
    if (kind != RC_PACKED) return true;
    uint32_t last = rc_word(block + cells);
    if (last != 0) return false;
    for (uint32_t i = 1; i <= rows; i++) {
        uint32_t next = rc_word(block + cells + 4 * i);
        if (next < last) return false;
        last = next;
    }
    return rc_inside(length, data, last, 1);
}
static inline uint8_t rc_state(const rc_column *c, uint32_t i) { return c->states ? c->states[i] : RC_VALUE; }
static inline bool rc_bit(const rc_column *c, uint32_t i) { return c->cells[i]; }
static inline int64_t rc_int(const rc_column *c, uint32_t i) {
    return (int64_t)(rc_word(c->cells + 8 * i) | (uint64_t)rc_word(c->cells + 8 * i + 4) << 32);
}
static inline double rc_float(const rc_column *c, uint32_t i) {
    union { int64_t bits; double value; } number = { .bits = rc_int(c, i) };
    return number.value;
}
static inline text rc_text(const rc_column *c, uint32_t i) {
    uint32_t from = rc_word(c->cells + 4 * i), to = rc_word(c->cells + 4 * i + 4);
    return (text){ (const char *)c->data + from, to - from };
}

/* --- Types of columns: the C type, the kind in a block, the reader. --- */

#define RC_T_bool bool
#define RC_T_int int64_t
#define RC_T_timestamp int64_t
#define RC_T_date int64_t
#define RC_T_time int64_t
#define RC_T_float double
#define RC_T_text text
#define RC_T_decimal text
#define RC_T_json text
#define RC_T_bytes text
#define RC_T_uuid text
#define RC_K_bool RC_BITS
#define RC_K_int RC_INT64
#define RC_K_timestamp RC_INT64
#define RC_K_date RC_INT64
#define RC_K_time RC_INT64
#define RC_K_float RC_FLOAT64
#define RC_K_text RC_PACKED
#define RC_K_decimal RC_PACKED
#define RC_K_json RC_PACKED
#define RC_K_bytes RC_PACKED
#define RC_K_uuid RC_PACKED
#define RC_R_bool rc_bit
#define RC_R_int rc_int
#define RC_R_timestamp rc_int
#define RC_R_date rc_int
#define RC_R_time rc_int
#define RC_R_float rc_float
#define RC_R_text rc_text
#define RC_R_decimal rc_text
#define RC_R_json rc_text
#define RC_R_bytes rc_text
#define RC_R_uuid rc_text

/* --- The row, from ROW: the struct, the contract, the reader. --- */

#define RC_FIELD(type, name) RC_T_##type name;
#define RC_OPTIONAL_FIELD(type, name) RC_T_##type name; bool has_##name;
typedef struct { ROW(RC_FIELD, RC_OPTIONAL_FIELD) char rc_unused; } row;

#define RC_ONE(type, name) 1 +
enum { RC_COLUMNS = ROW(RC_ONE, RC_ONE) 0 };
typedef struct { const char *name, *logical; uint32_t kind; } rc_spec;
#define RC_SPEC(type, name) { #name, #type, RC_K_##type },
static const rc_spec rc_row_specs[RC_COLUMNS + 1] = { ROW(RC_SPEC, RC_SPEC) { 0, 0, 0 } };

/* Reads row `i`; 0, or why the change fails. */
static inline const char *rc_read_row(const rc_column *columns, uint32_t i, bool current, bool alone, row *into) {
    uint32_t k = 0;
    (void)columns; (void)i; (void)current; (void)alone; (void)into; (void)k;
#define RC_WHY(name, what) (alone ? "column " name what : current ? "current column " name what : "incoming column " name what)
#define RC_GET(type, name) \
    switch (rc_state(&columns[k], i)) { \
    case RC_NULL: return RC_WHY(#name, " is null"); \
    case RC_UNSENT: return RC_WHY(#name, " was not sent"); \
    case RC_NO_ROW: return RC_WHY(#name, " has no row"); \
    } \
    into->name = RC_R_##type(&columns[k++], i);
#define RC_GET_OPTIONAL(type, name) \
    switch (rc_state(&columns[k], i)) { \
    case RC_UNSENT: return RC_WHY(#name, " was not sent"); \
    case RC_NO_ROW: return RC_WHY(#name, " has no row"); \
    } \
    into->has_##name = rc_state(&columns[k], i) == RC_VALUE; \
    into->name = RC_R_##type(&columns[k++], i);
    ROW(RC_GET, RC_GET_OPTIONAL)
    return 0;
}

/* --- Written columns, from WRITES. --- */

#ifdef WRITES
#define RC_PUT_FIELD(type, name) RC_T_##type name; uint8_t rc_put_##name;
typedef struct { WRITES(RC_PUT_FIELD) char rc_unused; } written;
enum { RC_WRITES = WRITES(RC_ONE) 0 };
static const rc_spec rc_write_specs[RC_WRITES + 1] = { WRITES(RC_SPEC) { 0, 0, 0 } };
#define PUT(out, name, value) ((out)->name = (value), (out)->rc_put_##name = 1)
#define NULLED(out, name) ((out)->rc_put_##name = 2)
#else
typedef struct { char rc_unused; } written;
enum { RC_WRITES = 0 };
static const rc_spec rc_write_specs[1] = { { 0, 0, 0 } };
#endif

#ifdef __wasm__
/* --- Memory: what a call needs lasts until its answer is read, which is before the next call. --- */

extern uint8_t __heap_base;
static uint32_t rc_floor, rc_next;
static bool rc_answered;

/* One instruction each, as `plugin build` compiles; what clang calls where it does not put them in. */
static inline void rc_copy(uint8_t *to, const uint8_t *from, uint32_t length) { __builtin_memcpy(to, from, length); }
static inline void rc_zero(uint8_t *at, uint32_t length) { __builtin_memset(at, 0, length); }
__attribute__((no_builtin)) void *memcpy(void *to, const void *from, size_t n) { for (size_t i = 0; i < n; i++) ((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i]; return to; }
__attribute__((no_builtin)) void *memset(void *to, int byte, size_t n) { for (size_t i = 0; i < n; i++) ((volatile uint8_t *)to)[i] = (uint8_t)byte; return to; }

__attribute__((export_name("cabi_realloc"))) void *rc_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
    if (!rc_floor) rc_next = rc_floor = (uint32_t)&__heap_base;
    if (rc_answered) { rc_answered = false; rc_next = rc_floor; }
    uint64_t at = ((uint64_t)rc_next + align - 1) & ~((uint64_t)align - 1), end = at + size;
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) << 16;
    if (end > have && (end >> 32 || __builtin_wasm_memory_grow(0, (uint32_t)((end - have + 0xffff) >> 16)) == (size_t)-1)) __builtin_trap();
    rc_next = (uint32_t)end;
    uint8_t *made = (uint8_t *)(uint32_t)at;
    if (old) rc_copy(made, old, old_size < size ? old_size : size);
    return made;
}
static void *rc_alloc(uint32_t size) {
    uint8_t *made = rc_realloc(0, 0, 8, size);
    rc_zero(made, size);
    return made;
}

/* --- Answers, as the component model lays them out: pairs of place and length. --- */

typedef struct { uint32_t at, length; } rc_list;
static rc_list rc_words(const char *words) {
    uint32_t length = 0;
    while (words[length]) length++;
    return (rc_list){ (uint32_t)words, length };
}
typedef struct { rc_list side, name, logical; uint8_t required; } rc_column_spec;
typedef struct { uint32_t table; rc_list reads, writes, extensions; } rc_contract;
typedef struct { rc_list name, version, config_schema, extensions; } rc_descriptor;
typedef struct { uint8_t failed; rc_list verdict, reason, reasons, block; } rc_answer;

static rc_list rc_specs(const char *const *sides, const rc_spec *specs, uint32_t count) {
    uint32_t all = 0;
    for (uint32_t s = 0; sides[s]; s++) all += count;
    rc_column_spec *made = rc_alloc(all * sizeof *made), *next = made;
    for (uint32_t s = 0; sides[s]; s++)
        for (uint32_t k = 0; k < count; k++)
            *next++ = (rc_column_spec){ rc_words(sides[s]), rc_words(specs[k].name), rc_words(specs[k].logical), 1 };
    return (rc_list){ (uint32_t)made, all };
}
/* What the contract says beyond types: columns that are never null where the rule is to decide, and those that are sent.
 * `reconverge plugin laws` makes its rows by it. */
#define RC_NAMED(type, name) ",\"" #name "\""
#define RC_NOT_NAMED(type, name)
static rc_list rc_promises(void) {
    static const char plain[] = ROW(RC_NAMED, RC_NOT_NAMED) "", sent[] = ROW(RC_NAMED, RC_NAMED) "";
    /* Each name has its comma before it, the first one none. */
    const char *parts[] = { "{\"not-null\":[", plain[0] ? plain + 1 : plain, "],\"sent\":[", sent[0] ? sent + 1 : sent, "]}" };
    uint8_t *made = rc_alloc(32 + sizeof plain + sizeof sent);
    uint32_t length = 0;
    for (uint32_t p = 0; p < 5; p++) {
        rc_list words = rc_words(parts[p]);
        rc_copy(made + length, (const uint8_t *)parts[p], words.length);
        length += words.length;
    }
    return (rc_list){ (uint32_t)made, length };
}
static void *rc_open(uint32_t tables, const char *const *sides) {
    static const char *const after[] = { "after", 0 };
    rc_contract *contracts = rc_alloc(tables * sizeof *contracts);
    for (uint32_t t = 0; t < tables; t++)
        contracts[t] = (rc_contract){ t, rc_specs(sides, rc_row_specs, RC_COLUMNS), rc_specs(after, rc_write_specs, RC_WRITES), rc_promises() };
    struct { uint8_t failed; rc_list contracts; } *result = rc_alloc(sizeof *result);
    result->contracts = (rc_list){ (uint32_t)contracts, tables };
    /* What `open` was given stays: a configuration that the plugin keeps lies there. */
    rc_floor = rc_next;
    return result;
}
static void *rc_described(const char *name, const char *version, const char *config_schema, const char *extensions) {
    rc_descriptor *made = rc_alloc(sizeof *made);
    *made = (rc_descriptor){ rc_words(name), rc_words(version), rc_words(config_schema), rc_words(extensions) };
    rc_answered = true;
    return made;
}
static void *rc_error(const char *why) {
    struct { uint8_t failed; rc_list why; } *result = rc_alloc(sizeof(rc_answer));
    result->failed = 1;
    result->why = rc_words(why);
    rc_answered = true;
    return result;
}

/* The answer in the making: verdicts, reasons by their words, written cells. */
typedef struct { uint8_t *verdict, *reason; rc_list *reasons; uint32_t count; written *written; bool writes; } rc_building;
static void rc_say(rc_building *b, uint32_t i, verdict said) {
    b->verdict[i] = said.code;
    b->writes |= said.code == 255 ? false : (said.code & 127) == 2;
    if (!said.because) return;
    rc_list words = rc_words(said.because);
    uint32_t n = 0;
    while (n < b->count && !(b->reasons[n].at == words.at || equal_text((text){ (const char *)b->reasons[n].at, b->reasons[n].length }, (text){ said.because, words.length }))) n++;
    if (n == b->count) {
        if (n == 255) n = 254; else b->reasons[b->count++] = words;
    }
    b->reason[i] = (uint8_t)(n + 1);
}
static inline void rc_put_word(uint8_t *at, uint32_t value) { for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i)); }

#ifdef WRITES
/* Begins a written column at the next place of its alignment; its states stand before its cells. */
static uint8_t *rc_begin(uint8_t *block, uint32_t *at, uint32_t k, uint32_t kind, uint32_t rows, uint32_t width, uint8_t **states) {
    *states = block + *at;
    uint32_t cells = (*at + rows + 7) & ~7u;
    rc_put_word(block + 8 + 16 * k, kind);
    rc_put_word(block + 12 + 16 * k, *at);
    rc_put_word(block + 16 + 16 * k, cells);
    *at = cells + width;
    return block + cells;
}
static inline void rc_put_eight(uint8_t *cells, uint32_t i, uint64_t bits) {
    rc_put_word(cells + 8 * i, (uint32_t)bits);
    rc_put_word(cells + 8 * i + 4, (uint32_t)(bits >> 32));
}
static inline uint64_t rc_bits_of(double value) { union { double value; uint64_t bits; } number = { .value = value }; return number.bits; }
#define RC_ROOM(type, name) room += 8 + rows + 8 * (rows + 1); \
    for (uint32_t i = 0; i < rows; i++) if (b->written[i].rc_put_##name == 1) room += RC_LENGTH_##type(b->written[i].name);
#define RC_LENGTH_bool(value) 0
#define RC_LENGTH_int(value) 0
#define RC_LENGTH_timestamp(value) 0
#define RC_LENGTH_date(value) 0
#define RC_LENGTH_time(value) 0
#define RC_LENGTH_float(value) 0
#define RC_LENGTH_text(value) (value).length
#define RC_LENGTH_decimal(value) (value).length
#define RC_LENGTH_json(value) (value).length
#define RC_LENGTH_bytes(value) (value).length
#define RC_LENGTH_uuid(value) (value).length
#define RC_W_bool(name) RC_W_plain(name, RC_BITS, rows, cells[i] = b->written[i].name)
#define RC_W_int(name) RC_W_plain(name, RC_INT64, 8 * rows, rc_put_eight(cells, i, (uint64_t)b->written[i].name))
#define RC_W_timestamp(name) RC_W_int(name)
#define RC_W_date(name) RC_W_int(name)
#define RC_W_time(name) RC_W_int(name)
#define RC_W_float(name) RC_W_plain(name, RC_FLOAT64, 8 * rows, rc_put_eight(cells, i, rc_bits_of(b->written[i].name)))
#define RC_W_plain(name, kind, width, put) { \
    uint8_t *states, *cells = rc_begin(block, &at, k++, kind, rows, width, &states); \
    for (uint32_t i = 0; i < rows; i++) { \
        uint8_t said = b->written[i].rc_put_##name; \
        states[i] = said == 0 ? RC_UNSENT : said == 1 ? RC_VALUE : RC_NULL; \
        if (said == 1) put; \
    } }
#define RC_W_text(name) { \
    uint8_t *states, *cells = rc_begin(block, &at, k, RC_PACKED, rows, 4 * (rows + 1), &states); \
    rc_put_word(block + 20 + 16 * k++, at); \
    uint32_t end = 0; \
    for (uint32_t i = 0; i < rows; i++) { \
        uint8_t said = b->written[i].rc_put_##name; \
        states[i] = said == 0 ? RC_UNSENT : said == 1 ? RC_VALUE : RC_NULL; \
        if (said == 1) { rc_copy(block + at + end, (const uint8_t *)b->written[i].name.bytes, b->written[i].name.length); end += b->written[i].name.length; } \
        rc_put_word(cells + 4 * (i + 1), end); \
    } \
    at += end; }
#define RC_W_decimal(name) RC_W_text(name)
#define RC_W_json(name) RC_W_text(name)
#define RC_W_bytes(name) RC_W_text(name)
#define RC_W_uuid(name) RC_W_text(name)
#define RC_W(type, name) RC_W_##type(name)
static rc_list rc_block(rc_building *b, uint32_t rows) {
    uint32_t room = 8 + 16 * RC_WRITES, at = room, k = 0;
    WRITES(RC_ROOM)
    uint8_t *block = rc_alloc(room);
    rc_put_word(block, RC_WRITES);
    rc_put_word(block + 4, 16);
    WRITES(RC_W)
    return (rc_list){ (uint32_t)block, at };
}
#else
static rc_list rc_block(rc_building *b, uint32_t rows) { (void)b; (void)rows; return (rc_list){ 0, 0 }; }
#endif

static void rc_start(rc_building *b, uint32_t rows) {
    *b = (rc_building){ rc_alloc(rows), rc_alloc(rows), rc_realloc(0, 0, 8, 255 * sizeof(rc_list)), 0, rc_alloc(rows * sizeof(written)), false };
}
static void *rc_finish(rc_building *b, uint32_t rows) {
    rc_answer *made = rc_alloc(sizeof *made);
    made->verdict = (rc_list){ (uint32_t)b->verdict, rows };
    made->reason = (rc_list){ (uint32_t)b->reason, b->count ? rows : 0 };
    made->reasons = (rc_list){ (uint32_t)b->reasons, b->count };
    if (b->writes) made->block = rc_block(b, rows);
    rc_answered = true;
    return made;
}
static bool rc_columns(const uint8_t *block, uint32_t length, uint32_t rows, uint32_t first, rc_column *into) {
    for (uint32_t k = 0; k < RC_COLUMNS; k++)
        if (!rc_read(block, length, rows, first + k, rc_row_specs[k].kind, &into[k])) return false;
    return true;
}
static bool rc_is_none(const rc_column *columns, uint32_t i) {
    for (uint32_t k = 0; k < RC_COLUMNS; k++) if (rc_state(&columns[k], i) != RC_NO_ROW) return false;
    return RC_COLUMNS > 0;
}

/* JSON Schema of the configuration, and claims: define them before the header is included. */
#ifndef CONFIG_SCHEMA
#define CONFIG_SCHEMA ""
#endif
#ifndef EXTENSIONS
#define EXTENSIONS ""
#endif

/* The configuration as the pipeline gives it: JSON text that has passed CONFIG_SCHEMA. */
static text rc_config_text;
static inline text config(void) { return rc_config_text; }

#define RC_EXPORT(name) __attribute__((export_name(name)))
#define RC_LIFECYCLE(NAME, VERSION, ...) \
    RC_EXPORT("describe") void *rc_describe_export(void) { return rc_described(NAME, VERSION, CONFIG_SCHEMA, EXTENSIONS); } \
    RC_EXPORT("open") void *rc_open_export(const char *config, uint32_t length, void *tables, uint32_t count) { \
        static const char *const sides[] = { __VA_ARGS__, 0 }; \
        (void)tables; \
        rc_config_text = (text){ config, length }; \
        return rc_open(count, sides); \
    }
/* One row at a time: filter, residency, mapping. `decide(const row *, written *)`. */
#define RC_ROWS(NAME, VERSION, decide) \
    RC_LIFECYCLE(NAME, VERSION, "after") \
    RC_EXPORT("run") void *rc_run_export(uint32_t table, uint32_t rows, const uint8_t *block, uint32_t length) { \
        rc_column columns[RC_COLUMNS + 1]; rc_building b; row r; \
        (void)table; \
        if (!rc_columns(block, length, rows, 0, columns)) return rc_error("the block does not read"); \
        rc_start(&b, rows); \
        for (uint32_t i = 0; i < rows; i++) { \
            if (rc_is_none(columns, i)) { rc_say(&b, i, KEEP); continue; } \
            const char *gap = rc_read_row(columns, i, false, true, &r); \
            rc_say(&b, i, gap ? fail(gap) : decide(&r, &b.written[i])); \
        } \
        return rc_finish(&b, rows); \
    }
#define FILTER(NAME, VERSION, decide) RC_ROWS(NAME, VERSION, decide)
#define RESIDENCY(NAME, VERSION, decide) RC_ROWS(NAME, VERSION, decide)
#define MAPPING(NAME, VERSION, decide) RC_ROWS(NAME, VERSION, decide)
/* An incoming row and the one that stands: `decide(const row *incoming, const row *current, written *)`. */
#define MERGE(NAME, VERSION, decide) \
    RC_LIFECYCLE(NAME, VERSION, "after", "current") \
    RC_EXPORT("run") void *rc_run_export(uint32_t table, uint32_t rows, const uint8_t *block, uint32_t length) { \
        rc_column after[RC_COLUMNS + 1], current[RC_COLUMNS + 1]; rc_building b; row incoming, standing; \
        (void)table; \
        if (!rc_columns(block, length, rows, 0, after) || !rc_columns(block, length, rows, RC_COLUMNS, current)) return rc_error("the block does not read"); \
        rc_start(&b, rows); \
        for (uint32_t i = 0; i < rows; i++) { \
            if (rc_is_none(current, i)) { rc_say(&b, i, TAKE_INCOMING); continue; } \
            if (rc_is_none(after, i)) { rc_say(&b, i, archive_loser(DELETE)); continue; } \
            const char *gap = rc_read_row(after, i, false, false, &incoming); \
            if (!gap) gap = rc_read_row(current, i, true, false, &standing); \
            rc_say(&b, i, gap ? fail(gap) : decide(&incoming, &standing, &b.written[i])); \
        } \
        return rc_finish(&b, rows); \
    }

/* The host's log: levels 0 debug, 1 info, 2 warn, 3 error. Lines are rate-limited; say nothing of a row. */
__attribute__((import_module("reconverge:plugin/log@0.1.0"), import_name("write"))) void rc_log_write(int32_t level, const char *words, uint32_t length);
static inline void log_line(int level, const char *words) { rc_log_write(level, words, rc_words(words).length); }
#endif /* __wasm__ */
#endif
