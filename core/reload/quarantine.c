#include "reload/quarantine.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "observe/log.h"

enum { FILE_BYTES = 1 << 20 };

struct record {
    char plugin[QUARANTINE_NAME_BYTES], hash[QUARANTINE_HASH_BYTES];
    struct quarantine_state state;
    int64_t *at; /* wall times of the newest kills, at most `limit` */
    int count;
};

struct quarantine {
    struct quarantine_options options;
    pthread_mutex_t saving; /* one writer of the file at a time; taken before lock */
    pthread_mutex_t lock;   /* all below */
    struct record **records;
    int count;
};

bool quarantine_is_reached(const int64_t *at, int count, int limit, int64_t window_ns)
{
    return count >= limit && at[count - 1] - at[count - limit] <= window_ns;
}

static struct record *find(const struct quarantine *q, const char *plugin, const char *hash)
{
    for (int i = 0; i < q->count; i++) {
        struct record *r = q->records[i];
        if (!strcmp(r->plugin, plugin) && !strncmp(r->hash, hash, QUARANTINE_HASH_BYTES - 1))
            return r;
    }
    return NULL;
}

static struct record *add(struct quarantine *q, struct str plugin, struct str hash)
{
    struct record *r = mem_zero(1, sizeof *r);
    int hash_n = hash.n < sizeof r->hash ? (int)hash.n : (int)sizeof r->hash - 1;
    snprintf(r->plugin, sizeof r->plugin, "%.*s", (int)plugin.n, plugin.p);
    snprintf(r->hash, sizeof r->hash, "%.*s", hash_n, hash.p);
    r->at = mem_zero((size_t)q->options.limit, sizeof *r->at);
    q->records = mem_realloc(q->records, (size_t)(q->count + 1) * sizeof *q->records);
    q->records[q->count++] = r;
    return r;
}

static void record_free(struct record *r)
{
    mem_free(r->at);
    mem_free(r);
}

static void remember(struct quarantine *q, struct record *r, int64_t at)
{
    if (r->count == q->options.limit)
        memmove(r->at, r->at + 1, (size_t)--r->count * sizeof *r->at);
    r->at[r->count++] = at;
}

/* The file has one record a line. */
static void set_reason(struct record *r, struct str reason)
{
    snprintf(r->state.reason, sizeof r->state.reason, "%.*s", (int)reason.n, reason.p);
    for (char *c = r->state.reason; *c; c++)
        *c = *c == '\n' || *c == '\t' ? ' ' : *c;
}

bool quarantine_count(struct quarantine *q, const char *plugin, const char *hash,
                      const char *reason, bool with_process, int64_t now_wall)
{
    pthread_mutex_lock(&q->lock);
    struct record *r = find(q, plugin, hash);
    if (!r)
        r = add(q, str_c(plugin), str_c(hash));
    set_reason(r, str_c(reason));
    remember(q, r, now_wall);
    r->state.kills++;
    r->state.interpreted = r->state.interpreted || with_process;
    bool reached = !r->state.held &&
                   quarantine_is_reached(r->at, r->count, q->options.limit, q->options.window_ns);
    if (reached) {
        r->state.held = true;
        r->state.since_wall = now_wall;
    }
    pthread_mutex_unlock(&q->lock);
    return reached;
}

struct quarantine_state quarantine_of(struct quarantine *q, const char *plugin, const char *hash)
{
    pthread_mutex_lock(&q->lock);
    struct record *r = find(q, plugin, hash);
    struct quarantine_state state = r ? r->state : (struct quarantine_state){0};
    pthread_mutex_unlock(&q->lock);
    return state;
}

bool quarantine_has(struct quarantine *q, const char *plugin)
{
    bool has = false;
    pthread_mutex_lock(&q->lock);
    for (int i = 0; i < q->count && !has; i++)
        has = !strcmp(q->records[i]->plugin, plugin);
    pthread_mutex_unlock(&q->lock);
    return has;
}

enum quarantine_forgot quarantine_forget(struct quarantine *q, const char *plugin,
                                         const char *but_hash)
{
    enum quarantine_forgot found = FORGOT_NOTHING;
    pthread_mutex_lock(&q->lock);
    const struct record *kept = but_hash ? find(q, plugin, but_hash) : NULL;
    for (int i = q->count - 1; i >= 0; i--) {
        struct record *r = q->records[i];
        if (r == kept || strcmp(r->plugin, plugin))
            continue;
        if (r->state.held || r->state.interpreted)
            found = FORGOT_HOLD;
        else if (found == FORGOT_NOTHING)
            found = FORGOT_KILLS;
        record_free(r);
        q->records[i] = q->records[--q->count];
    }
    pthread_mutex_unlock(&q->lock);
    return found;
}

/* -- the file -------------------------------------------------------------------------------- */

/* plugin hash held interpreted kills since at,at,… reason, with tabs between. */
static void format(const struct record *r, struct buf *out)
{
    buf_printf(out, "%s\t%s\t%d\t%d\t%d\t%lld\t", r->plugin, r->hash, r->state.held,
               r->state.interpreted, r->state.kills, (long long)r->state.since_wall);
    for (int i = 0; i < r->count; i++)
        buf_printf(out, "%s%lld", i ? "," : "", (long long)r->at[i]);
    buf_printf(out, "\t%s\n", r->state.reason);
}

static bool number(struct str *line, long long *out)
{
    return str_int64(str_split(line, '\t'), out);
}

static void parse(struct quarantine *q, struct str line)
{
    struct str plugin = str_split(&line, '\t'), hash = str_split(&line, '\t');
    long long held, interpreted, kills, since, at;
    if (!plugin.n || hash.n != QUARANTINE_HASH_BYTES - 1 || !number(&line, &held) ||
        !number(&line, &interpreted) || !number(&line, &kills) || !number(&line, &since))
        return;
    struct record *r = add(q, plugin, hash);
    r->state.held = held != 0;
    r->state.interpreted = interpreted != 0;
    r->state.kills = (int)kills;
    r->state.since_wall = since;
    struct str times = str_split(&line, '\t');
    while (times.n && str_int64(str_split(&times, ','), &at))
        remember(q, r, at);
    set_reason(r, line);
}

bool quarantine_save(struct quarantine *q, struct err *err)
{
    struct buf text = {0};
    pthread_mutex_lock(&q->saving);
    pthread_mutex_lock(&q->lock);
    for (int i = 0; i < q->count; i++)
        format(q->records[i], &text);
    pthread_mutex_unlock(&q->lock);
    bool ok = file_write(q->options.path, buf_str(&text), 0600, err);
    pthread_mutex_unlock(&q->saving);
    buf_free(&text);
    return ok;
}

struct quarantine *quarantine_open(const struct quarantine_options *options)
{
    struct quarantine *q = mem_zero(1, sizeof *q);
    struct buf text = {0};
    struct err err = {0};
    q->options = *options;
    q->options.path = mem_strdup(options->path);
    pthread_mutex_init(&q->saving, NULL);
    pthread_mutex_init(&q->lock, NULL);
    if (file_read(q->options.path, FILE_BYTES, &text, &err)) {
        struct str rest = buf_str(&text);
        while (rest.n)
            parse(q, str_split(&rest, '\n'));
    } else if (err.sys != ENOENT) {
        log_error("reload", "%s -- kills of before are forgotten", err.message);
    }
    buf_free(&text);
    return q;
}

void quarantine_close(struct quarantine *q)
{
    if (!q)
        return;
    for (int i = 0; i < q->count; i++)
        record_free(q->records[i]);
    mem_free(q->records);
    mem_free((char *)(uintptr_t)q->options.path);
    pthread_mutex_destroy(&q->lock);
    pthread_mutex_destroy(&q->saving);
    mem_free(q);
}
