/* s3_sweep.c -- parts of uploads that nobody finished, because their maru was killed, are paid for
 * until somebody aborts them.  At the start and every objects.upkeep.every_ns after that, those of
 * the plugins that serve here are looked for, page by page, and aborted when they are older than
 * ttl_ns and not this process's own.  One request at a time: it is never urgent.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "objects/s3_private.h"
#include "observe/log.h"

enum { LIST_BYTES = 16 << 20 }; /* of a page: a thousand uploads, and who began each of them */
static const int64_t soon_ns = NS_PER_SECOND, later_ns = 600 * NS_PER_SECOND;

struct sweep {
    struct s3 *s3;
    struct buf plugins;   /* names, each with a NUL */
    size_t plugin;        /* where the present one's is */
    struct buf found;     /* "KEY\0ID\0" of each of this page that is too old; no plugin in front */
    size_t at;            /* of them: the next one */
    struct buf last, key; /* ID, and "plugin/KEY", of the last one of this page */
    bool more;            /* there is another page */
    int aborted;          /* of this plugin */
};

static const char *name(const struct sweep *w)
{
    return w->plugins.p + w->plugin;
}

static void start(struct s3 *s3, int64_t pause_ns)
{
    if (!s3->ended)
        timer_start(s3->objects.lane, &s3->sweep_timer, pause_ns);
}

static void over(struct sweep *w, bool failed)
{
    int64_t every_ns = w->s3->objects.upkeep.every_ns;
    start(w->s3, failed && later_ns < every_ns ? later_ns : every_ns);
    buf_free(&w->plugins);
    buf_free(&w->found);
    buf_free(&w->last);
    buf_free(&w->key);
    mem_free(w);
}

static void list(struct sweep *w);

static void next_plugin(struct sweep *w)
{
    if (w->aborted)
        log_info("objects", "%d unfinished uploads of %s were aborted", w->aborted, name(w));
    w->aborted = 0;
    w->plugin += strlen(name(w)) + 1;
    buf_clear(&w->key);
    if (w->plugin < w->plugins.n)
        list(w);
    else
        over(w, false);
}

static void abort_next(struct sweep *w);

static void on_aborted(void *arg, const struct s3_answer *a)
{
    struct sweep *w = arg;
    w->aborted += a->err.code == ERR_NONE;
    if (a->err.code == ERR_CLOSED)
        over(w, true);
    else
        abort_next(w);
}

static void abort_next(struct sweep *w)
{
    if (w->at >= w->found.n) {
        if (w->more)
            list(w);
        else
            next_plugin(w);
        return;
    }
    struct str key = str_c(w->found.p + w->at), id = str_c(key.p + key.n + 1);
    w->at += key.n + id.n + 2;
    struct s3_request r = {.method = "DELETE", .plugin = name(w), .key = key, .aside = true};
    s3_query(&r, "uploadId", id);
    s3_send(w->s3, w->s3->objects.lane, &r, on_aborted, w);
}

/* The next page begins behind the last one that was read; false where it has no name. */
static bool note(struct sweep *w, struct str upload, int64_t oldest)
{
    int64_t at = xml_time(xml_find(upload, "Initiated"));
    size_t prefix = strlen(name(w)) + 1;
    buf_clear(&w->key);
    buf_clear(&w->last);
    xml_decode(&w->last, xml_find(upload, "UploadId"));
    if (!url_decode(&w->key, xml_find(upload, "Key")) || w->key.n <= prefix || !w->last.n)
        return false;
    if (at && at < oldest && !s3_upload_is_here(w->s3, buf_str(&w->last))) {
        buf_add(&w->found, w->key.p + prefix, w->key.n - prefix);
        buf_add_char(&w->found, '\0');
        buf_add_str(&w->found, buf_str(&w->last));
        buf_add_char(&w->found, '\0');
    }
    return true;
}

static void add_marker(const struct sweep *w, struct buf *out)
{
    buf_add_str(out, buf_str(&w->key));
    buf_add_char(out, '\0');
    buf_add_str(out, buf_str(&w->last));
}

/* A server that does not look at where a page is to begin gives the first one for ever. */
static bool moved(const struct sweep *w, const struct buf *before)
{
    struct buf now = {0};
    add_marker(w, &now);
    bool same = str_eq(buf_str(&now), buf_str(before));
    buf_free(&now);
    return !same;
}

static void on_listed(void *arg, const struct s3_answer *a)
{
    struct sweep *w = arg;
    struct str rest = a->body, upload;
    int64_t oldest = clock_wall_ns() - w->s3->objects.upkeep.ttl_ns;
    if (a->err.code) {
        if (a->err.code != ERR_CLOSED)
            log_warn("objects", "unfinished uploads of %s were not looked for: %.300s", name(w),
                     a->err.message);
        over(w, true);
        return;
    }
    struct buf before = {0};
    bool named = false;
    add_marker(w, &before);
    buf_clear(&w->found);
    w->at = 0;
    while (xml_next(&rest, "Upload", &upload))
        named = note(w, upload, oldest);
    w->more = named && moved(w, &before) && str_eq_c(xml_find(a->body, "IsTruncated"), "true");
    buf_free(&before);
    abort_next(w);
}

static void list(struct sweep *w)
{
    struct s3_request r = {.method = "GET", .max_bytes = LIST_BYTES, .aside = true};
    char *prefix = mem_printf("%s/", name(w));
    s3_query(&r, "encoding-type", STR("url"));
    if (w->key.n)
        s3_query(&r, "key-marker", buf_str(&w->key));
    s3_query(&r, "prefix", str_c(prefix));
    if (w->key.n)
        s3_query(&r, "upload-id-marker", buf_str(&w->last));
    s3_query(&r, "uploads", STR(""));
    s3_send(w->s3, w->s3->objects.lane, &r, on_listed, w);
    mem_free(prefix);
}

static void take(void *to, const char *plugin)
{
    struct sweep *w = to;
    buf_add(&w->plugins, plugin, strlen(plugin) + 1);
}

static void on_time(struct timer *timer)
{
    struct s3 *s3 = list_entry(timer, struct s3, sweep_timer);
    const struct object_upkeep *upkeep = &s3->objects.upkeep;
    struct sweep *w = mem_zero(1, sizeof *w);
    w->s3 = s3;
    upkeep->plugins(upkeep->arg, take, w);
    if (w->plugins.n == 0) {
        over(w, false);
        return;
    }
    list(w);
}

void s3_sweep_begin(struct s3 *s3)
{
    s3->sweep_timer.fire = on_time;
    s3->sweep_timer.upkeep = true;
    start(s3, soon_ns < s3->objects.upkeep.every_ns ? soon_ns : s3->objects.upkeep.every_ns);
}

void s3_sweep_end(struct s3 *s3)
{
    timer_stop(s3->objects.lane, &s3->sweep_timer);
}
