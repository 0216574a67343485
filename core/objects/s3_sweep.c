/* s3_sweep.c -- parts of uploads that nobody finished, because their maru was killed, are paid for
 * until somebody aborts them.  When a plugin first asks for an object, and daily after that, its
 * uploads that are older than s3->upload_ttl_ns are.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "objects/s3_private.h"
#include "observe/log.h"

static const int64_t again_ns = 24 * 3600 * NS_PER_SECOND;

struct swept {
    struct swept *next;
    int64_t at; /* steady */
    char plugin[];
};

struct sweep {
    struct s3 *s3;
    struct lane *lane;
    char *plugin;
    struct buf found; /* "KEY\0ID\0" of each that is too old */
    size_t at;
    int aborted;
};

static bool is_due(struct s3 *s3, const char *plugin)
{
    int64_t now = clock_steady_ns();
    bool due = true;
    pthread_mutex_lock(&s3->lock);
    struct swept *seen = s3->swept;
    while (seen && strcmp(seen->plugin, plugin) != 0)
        seen = seen->next;
    if (seen) {
        due = now - seen->at >= again_ns;
    } else {
        size_t n = strlen(plugin) + 1;
        seen = mem_zero(1, sizeof *seen + n);
        memcpy(seen->plugin, plugin, n);
        seen->next = s3->swept;
        s3->swept = seen;
    }
    if (due)
        seen->at = now;
    pthread_mutex_unlock(&s3->lock);
    return due;
}

static void over(struct sweep *w)
{
    if (w->aborted)
        log_info("objects", "%d unfinished uploads of %s were aborted", w->aborted, w->plugin);
    buf_free(&w->found);
    mem_free(w->plugin);
    mem_free(w);
}

static void abort_next(struct sweep *w);

static void on_aborted(void *arg, const struct s3_answer *a)
{
    struct sweep *w = arg;
    w->aborted += a->err.code == ERR_NONE;
    abort_next(w);
}

static void abort_next(struct sweep *w)
{
    if (w->at >= w->found.n) {
        over(w);
        return;
    }
    struct str key = str_c(w->found.p + w->at), id = str_c(key.p + key.n + 1);
    w->at += key.n + id.n + 2;
    struct s3_request r = {.method = "DELETE", .plugin = w->plugin, .key = key};
    s3_query(&r, "uploadId", id);
    s3_send(w->s3, w->lane, &r, on_aborted, w);
}

static void note(struct sweep *w, struct str upload)
{
    struct buf key = {0}, id = {0};
    size_t plugin = strlen(w->plugin) + 1;
    xml_decode(&id, xml_find(upload, "UploadId"));
    if (url_decode(&key, xml_find(upload, "Key")) && key.n > plugin && id.n) {
        buf_add(&w->found, key.p + plugin, key.n - plugin);
        buf_add_char(&w->found, '\0');
        buf_add_str(&w->found, buf_str(&id));
        buf_add_char(&w->found, '\0');
    }
    buf_free(&key);
    buf_free(&id);
}

/* The rest of more than a page is for the next day. */
static void on_listed(void *arg, const struct s3_answer *a)
{
    struct sweep *w = arg;
    struct str rest = a->err.code ? STR("") : a->body, upload;
    int64_t oldest = clock_wall_ns() - w->s3->upload_ttl_ns;
    while (xml_next(&rest, "Upload", &upload)) {
        int64_t at = xml_time(xml_find(upload, "Initiated"));
        if (at && at < oldest)
            note(w, upload);
    }
    abort_next(w);
}

void s3_sweep(struct s3 *s3, struct lane *lane, const char *plugin)
{
    if (!is_due(s3, plugin))
        return;
    struct sweep *w = mem_zero(1, sizeof *w);
    struct s3_request r = {.method = "GET"};
    char *prefix = mem_printf("%s/", plugin);
    w->s3 = s3;
    w->lane = lane;
    w->plugin = mem_strdup(plugin);
    s3_query(&r, "encoding-type", STR("url"));
    s3_query(&r, "prefix", str_c(prefix));
    s3_query(&r, "uploads", STR(""));
    s3_send(s3, lane, &r, on_listed, w);
    mem_free(prefix);
}

void s3_sweep_free(struct s3 *s3)
{
    for (struct swept *next, *seen = s3->swept; seen; seen = next) {
        next = seen->next;
        mem_free(seen);
    }
}
