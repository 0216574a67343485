/* cache.c -- what plugins keep in the cache: figures, entries page by page, one entry, and deleting
 * it.
 *
 * A value may be a secret (a session, a token), so a viewer is told everything of an entry but its
 * value; an operator who is shown one leaves a line in the audit table, as whoever deletes one
 * does. */
#include "admin/internal.h"
#include "base/glob.h"
#include "base/mem.h"
#include "storage/cache_driver.h"
#include "storage/cache_look.h"

enum { PATTERN_MOST = CACHE_KEY_BYTES };

struct cache_question {
    struct cache_look look; /* first */
    struct cache_ask ask;   /* of a deletion */
    struct admin_call *call;
    struct buf what, cursor;
};

static void answer(struct cache_question *q, const struct err *err)
{
    if (err->code) {
        admin_answer_err(q->call, err);
    } else {
        buf_add_str(&q->call->out, buf_str(&q->look.out));
        admin_answer(q->call, 200);
    }
    buf_free(&q->look.out);
    buf_free(&q->what);
    buf_free(&q->cursor);
    mem_free(q);
}

static void on_look(struct cache_look *look)
{
    answer((struct cache_question *)(void *)look, &look->err);
}

static struct cache_question *question(struct admin_call *call, enum cache_look_op op)
{
    struct cache_question *q = mem_zero(1, sizeof *q);
    q->call = call;
    q->look.op = op;
    q->look.done = on_look;
    return q;
}

static void look(struct cache_question *q)
{
    struct admin_parts *parts = q->call->admin->parts;
    q->look.what = buf_str(&q->what);
    q->look.cursor = buf_str(&q->cursor);
    cache_look(parts->cache, parts->control, &q->look);
}

static void add_query(struct admin_call *call, const char *name, struct buf *out)
{
    char *text = admin_query(call, name, "");
    buf_add_c(out, text);
    mem_free(text);
}

static void view_figures(struct admin_call *call)
{
    look(question(call, CACHE_LOOK_FIGURES));
}

/* match: a pattern, or what names begin with; of one plugin's keys, or of "plugin:key". */
static void view_entries(struct admin_call *call)
{
    struct cache_question *q = question(call, CACHE_LOOK_PAGE);
    char *plugin = admin_query(call, "plugin", ""), *match = admin_query(call, "match", "");
    struct err err = {0};
    if (*plugin) {
        glob_escape(&q->what, str_c(plugin));
        buf_add_char(&q->what, ':');
    }
    buf_add_c(&q->what, match);
    if (glob_is_plain(str_c(match)))
        buf_add_char(&q->what, '*');
    add_query(call, "after", &q->cursor);
    q->look.limit = admin_query_int(call, "limit", 100, 1, CACHE_LOOK_MOST);
    mem_free(plugin);
    mem_free(match);
    if (q->what.n > PATTERN_MOST)
        err_set(&err, ERR_LIMIT, "a pattern has at most %d bytes", PATTERN_MOST);
    if (err.code)
        answer(q, &err);
    else
        look(q);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* key=plugin:key, or hex=… of one that is no text. */
static bool read_key(struct admin_call *call, struct buf *out, struct err *err)
{
    char *hex = admin_query(call, "hex", "");
    size_t n = strlen(hex);
    add_query(call, "key", out);
    bool ok = n % 2 == 0 && (n == 0 || out->n == 0);
    for (size_t i = 0; ok && i < n; i += 2) {
        int high = digit(hex[i]), low = digit(hex[i + 1]);
        ok = high >= 0 && low >= 0;
        buf_add_char(out, (char)(high * 16 + low));
    }
    mem_free(hex);
    return (ok && out->n && out->n <= CACHE_KEY_BYTES) ||
           err_set(err, ERR_INVALID, "key is plugin:key of at most %d bytes, or hex its bytes",
                   CACHE_KEY_BYTES);
}

/* What the audit table says of it. */
static void name_entry(struct admin_call *call, const struct buf *key)
{
    bool text = utf8_valid(buf_str(key)) && !memchr(key->p, 0, key->n);
    char *hex = admin_query(call, "hex", "");
    call->detail = text ? mem_printf("%.200s", key->p) : mem_printf("hex %.200s", hex);
    mem_free(hex);
}

static void view_entry(struct admin_call *call)
{
    struct cache_question *q = question(call, CACHE_LOOK_ENTRY);
    struct err err = {0};
    if (!read_key(call, &q->what, &err)) {
        answer(q, &err);
        return;
    }
    q->look.value = call->role == ADMIN_OPERATOR;
    if (q->look.value) {
        call->audit = "cache.read";
        name_entry(call, &q->what);
    }
    look(q);
}

static void on_deleted(void *arg, struct cache_ask *ask)
{
    struct cache_question *q = arg;
    struct err err = ask->err;
    if (!err.code && !ask->yes)
        err_set(&err, ERR_NOT_FOUND, "there is no such entry, or not any more");
    buf_add_c(&q->look.out, "{\"deleted\":true}");
    answer(q, &err);
}

static void delete_entry(struct admin_call *call)
{
    struct admin_parts *parts = call->admin->parts;
    struct cache_question *q = question(call, CACHE_LOOK_ENTRY);
    struct err err = {0};
    if (!read_key(call, &q->what, &err)) {
        answer(q, &err);
        return;
    }
    name_entry(call, &q->what);
    q->ask = (struct cache_ask){.op = CACHE_DELETE, .key = buf_str(&q->what)};
    if (!cache_ask(parts->cache, parts->control, &q->ask, on_deleted, q))
        on_deleted(q, &q->ask);
}

const struct admin_action admin_cache[] = {
    {"GET", "/admin/v1/cache", view_figures, NULL},
    {"GET", "/admin/v1/cache/entries", view_entries, NULL},
    {"GET", "/admin/v1/cache/entry", view_entry, NULL},
    {"DELETE", "/admin/v1/cache/entry", delete_entry, "cache.delete"},
    {NULL, NULL, NULL, NULL},
};
