/* search_bench.c -- documents a second into an index, and how long finds take in it, beside
 * SQLite's trigram tokenizer used directly.
 *
 * usage: search_bench DIR [--json] [COUNT] [TEXTS]
 * TEXTS: a file whose second column (by tabs) is a text; without it texts are made up of stems
 * with particles.  Every document is on disk when it is counted. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"
#include "search/search.h"
#include "search/text.h"
#include <sqlite3.h>

enum { BATCH = 500, FINDS = 2000, STEMS = 4000, LINE = 4096 };

static bool as_json;
static int count = 100000;
static char **texts;
static struct search *search;

static void report(const char *name, double value, const char *unit, const char *peer,
                   double peer_value, bool less_is_better)
{
    double ratio = less_is_better ? peer_value / value : value / peer_value;
    if (as_json)
        printf("{\"group\":\"search\",\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\","
               "\"peer\":\"%s\",\"peer_value\":%.3f,\"ratio\":%.2f,\"runs\":1}\n",
               name, value, unit, peer, peer_value, ratio);
    else
        printf("%-30s %10.2f %-7s %-26s %10.2f  x %.2f\n", name, value, unit, peer, peer_value,
               ratio);
}

/* ---- texts ------------------------------------------------------------- */

static void add_syllable(struct buf *out)
{
    unsigned c = 0xac00 + (unsigned)(rand_u64() % 11172);
    char bytes[3] = {(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3f)),
                     (char)(0x80 | (c & 0x3f))};
    buf_add(out, bytes, 3);
}

static void make_texts(void)
{
    static const char *const particles[] = {"은", "는",   "이", "가",   "을",   "를",
                                            "에", "에서", "도", "으로", "처럼", ""};
    char *stems[STEMS];
    for (int i = 0; i < STEMS; i++) {
        struct buf stem = {0};
        for (int k = 2 + (int)(rand_u64() % 2); k > 0; k--)
            add_syllable(&stem);
        stems[i] = buf_take(&stem, &(size_t){0});
    }
    for (int i = 0; i < count; i++) {
        struct buf text = {0};
        for (int k = 5 + (int)(rand_u64() % 15); k > 0; k--) {
            int stem = (int)(STEMS * pow(rand_unit(), 3)); /* a few are in every other text */
            buf_printf(&text, "%s%s ", stems[stem], particles[rand_u64() % 12]);
        }
        texts[i] = buf_take(&text, &(size_t){0});
    }
    for (int i = 0; i < STEMS; i++)
        mem_free(stems[i]);
}

static void read_texts(const char *path)
{
    char line[LINE];
    FILE *f = fopen(path, "re");
    int n = 0;
    if (!f || !fgets(line, sizeof line, f)) {
        perror(path);
        exit(1);
    }
    while (n < count && fgets(line, sizeof line, f)) {
        char *rest = strchr(line, '\t'), *text = rest ? strtok_r(rest, "\t\n", &rest) : NULL;
        if (text && utf8_valid(str_c(text)))
            texts[n++] = mem_strdup(text);
    }
    fclose(f);
    count = n;
}

/* Two to four characters out of some text, as somebody would look for them. */
static struct str some_word(int least)
{
    for (;;) {
        struct str text = str_c(texts[rand_u64() % (uint64_t)count]), word;
        do
            word = str_split(&text, ' ');
        while (text.n > 0 && rand_unit() < 0.7);
        size_t most = 3 * (size_t)(least + (int)(rand_u64() % 2)), n = 0;
        while (n < word.n && n < most && (unsigned char)word.p[n] >= 0xea &&
               (unsigned char)word.p[n] <= 0xed)
            n += 3;
        if (n >= 3 * (size_t)least && n <= word.n)
            return str_n(word.p, n);
    }
}

/* ---- maru -------------------------------------------------------------- */

struct waiting {
    struct search_call call; /* first */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

static void on_done(struct search_call *call)
{
    struct waiting *w = (struct waiting *)call;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static void run(enum search_op op, struct buf *request)
{
    struct waiting w = {.call = {.plugin = "p",
                                 .index = STR("i"),
                                 .op = op,
                                 .request = buf_str(request),
                                 .done = on_done},
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .cond = PTHREAD_COND_INITIALIZER};
    search_run(search, &w.call, NULL);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    if (w.call.err.code) {
        fprintf(stderr, "%s: %.*s\n", w.call.err.message, (int)request->n, request->p);
        exit(1);
    }
    buf_free(&w.call.answer);
    buf_free(request);
}

static double index_all(void)
{
    int64_t began = clock_ns();
    for (int i = 0; i < count;) {
        struct buf request = {0};
        buf_add_c(&request, "{\"docs\":[");
        for (int k = 0; k < BATCH && i < count; k++, i++) {
            buf_printf(&request,
                       "%s{\"id\":\"%d\",\"stars\":%d,\"store\":\"s%d\",\"body\":", k ? "," : "", i,
                       i % 5, i % 97);
            json_write_string(&request, str_c(texts[i]));
            buf_add_char(&request, '}');
        }
        buf_add_c(&request, "]}");
        run(SEARCH_INDEX, &request);
    }
    return count / ((double)(clock_ns() - began) / 1e9);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct times {
    double p50, p99;
};

static struct times percentiles(double *ms)
{
    qsort(ms, FINDS, sizeof *ms, by_value);
    return (struct times){ms[FINDS / 2], ms[FINDS * 99 / 100]};
}

static struct times find_all(const char *rest, int words, int least)
{
    static double ms[FINDS];
    for (int i = 0; i < FINDS; i++) {
        struct buf request = {0}, query = {0};
        for (int k = 0; k < words; k++) {
            struct str word = some_word(least);
            buf_printf(&query, "%s%.*s", k ? " " : "", (int)word.n, word.p);
        }
        buf_add_c(&request, "{\"query\":");
        json_write_string(&request, buf_str(&query));
        buf_printf(&request, "%s}", rest);
        buf_free(&query);
        int64_t began = clock_ns();
        run(SEARCH_FIND, &request);
        ms[i] = (double)(clock_ns() - began) / 1e6;
    }
    return percentiles(ms);
}

/* ---- SQLite by itself -------------------------------------------------- */

static sqlite3 *db;

static void exec(const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
        exit(1);
    }
}

static double trigram_index(const char *path)
{
    sqlite3_stmt *stmt;
    sqlite3_open(path, &db);
    exec("pragma journal_mode=wal; pragma synchronous=full;"
         "create virtual table t using fts5(body, tokenize='trigram');");
    sqlite3_prepare_v2(db, "insert into t values(?1)", -1, &stmt, NULL);
    int64_t began = clock_ns();
    for (int i = 0; i < count;) {
        exec("begin");
        for (int k = 0; k < BATCH && i < count; k++, i++) {
            sqlite3_bind_text(stmt, 1, texts[i], -1, SQLITE_STATIC);
            sqlite3_step(stmt);
            sqlite3_reset(stmt);
        }
        exec("commit");
    }
    sqlite3_finalize(stmt);
    return count / ((double)(clock_ns() - began) / 1e9);
}

static struct times trigram_find(void)
{
    static double ms[FINDS];
    sqlite3_stmt *stmt;
    sqlite3_prepare_v2(db, "select body from t where t match ?1 order by rank limit 20", -1, &stmt,
                       NULL);
    for (int i = 0; i < FINDS; i++) {
        struct str word = some_word(3);
        char *query = mem_printf("\"%.*s\"", (int)word.n, word.p);
        int64_t began = clock_ns();
        sqlite3_bind_text(stmt, 1, query, -1, SQLITE_STATIC);
        while (sqlite3_step(stmt) == SQLITE_ROW)
            ;
        sqlite3_reset(stmt);
        ms[i] = (double)(clock_ns() - began) / 1e6;
        mem_free(query);
    }
    sqlite3_finalize(stmt);
    return percentiles(ms);
}

static void open_search(const char *dir)
{
    static const struct search_field fields[] = {{"body", SEARCH_TEXT, NULL},
                                                 {"store", SEARCH_KEYWORD, NULL},
                                                 {"stars", SEARCH_NUMBER, NULL}};
    struct search_schema schema = {"i", fields, 3};
    struct err err = {0};
    struct pool *pool = pool_create("pool", 2, &err);
    struct search_options options = {
        .driver = "fts", .state_dir = dir, .pool = pool, .timeout_ns = 10 * NS_PER_SECOND};
    search = pool ? search_create(&options, &err) : NULL;
    if (!search || !search_declare(search, "p", &schema, 1, false, &err)) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const char *file = NULL;
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            as_json = true;
        else if (atoi(argv[i]) > 0)
            count = atoi(argv[i]);
        else
            file = argv[i];
    }
    if (argc < 2)
        return 2;
    texts = mem_zero((size_t)count, sizeof *texts);
    if (file)
        read_texts(file);
    else
        make_texts();
    open_search(argv[1]);
    char *path = mem_printf("%s/trigram.db", argv[1]);
    double maru = index_all(), trigram = trigram_index(path);
    struct times peer = trigram_find(), three = find_all("", 1, 3), two = find_all("", 1, 2);
    struct times both = find_all("", 2, 2);
    struct times rich = find_all(",\"filter\":{\"stars\":{\"from\":2}},\"facets\":[\"store\"],"
                                 "\"highlight\":[\"body\"],\"sort\":[\"-stars\"]",
                                 1, 2);
    report("index, 500 a call", maru, "docs/s", "FTS5 trigram", trigram, false);
    report("find 3 characters p50", three.p50, "ms", "FTS5 trigram", peer.p50, true);
    report("find 3 characters p99", three.p99, "ms", "FTS5 trigram", peer.p99, true);
    report("find 2 characters p50", two.p50, "ms", "FTS5 trigram cannot; 3", peer.p50, true);
    report("find 2 characters p99", two.p99, "ms", "FTS5 trigram cannot; 3", peer.p99, true);
    report("find two words p50", both.p50, "ms", "FTS5 trigram, one", peer.p50, true);
    report("find two words p99", both.p99, "ms", "FTS5 trigram, one", peer.p99, true);
    report("filter, facet, highlight p50", rich.p50, "ms", "FTS5 trigram, bare", peer.p50, true);
    report("filter, facet, highlight p99", rich.p99, "ms", "FTS5 trigram, bare", peer.p99, true);
    search_destroy(search);
    sqlite3_close(db);
    return 0;
}
