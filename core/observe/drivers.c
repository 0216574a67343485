#include "observe/drivers.h"

#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "observe/metrics.h"

enum { ADDRESS_BYTES = 200 };

struct driver_health {
    struct list link;
    struct driver_state state;
    struct metric *up;
    char kind[32], driver[32], address[ADDRESS_BYTES];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list all = {&all, &all}; /* under lock */

static struct metric *gauge(const char *kind, const char *driver)
{
    struct buf labels = {0};
    metrics_label(&labels, "kind", str_c(kind));
    metrics_label(&labels, "driver", str_c(driver));
    struct metric *m = metrics_gauge("maru_driver_up",
                                     "1: the server behind a driver answers; 0.5: in part; 0: not.",
                                     buf_str(&labels).p);
    buf_free(&labels);
    return m;
}

struct driver_health *driver_health_register(const char *kind, const char *driver, bool required)
{
    struct driver_health *h = mem_zero(1, sizeof *h);
    snprintf(h->kind, sizeof h->kind, "%s", kind);
    snprintf(h->driver, sizeof h->driver, "%s", driver);
    h->state = (struct driver_state){.kind = h->kind,
                                     .driver = h->driver,
                                     .address = h->address,
                                     .required = required,
                                     .since_wall = clock_wall_ns()};
    h->up = gauge(kind, driver);
    metric_set(h->up, 1);
    pthread_mutex_lock(&lock);
    list_push_back(&all, &h->link);
    pthread_mutex_unlock(&lock);
    return h;
}

void driver_health_unregister(struct driver_health *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&lock);
    list_remove(&h->link);
    pthread_mutex_unlock(&lock);
    mem_free(h);
}

/* "scheme://user:password@hosts/name?options".  What is not written as it should be, with an @
 * among the options or in the password, might show a part of it: then nothing is shown. */
static void add_url(struct buf *out, struct str url, size_t scheme)
{
    struct str rest = {url.p + scheme, url.n - scheme};
    struct str path = {rest.p, str_find(rest, '?')};
    size_t first = str_find(path, '@');
    buf_add(out, url.p, scheme);
    if (first == path.n && str_find(rest, '@') < rest.n)
        path.n = 0;
    if (first < path.n) {
        size_t name = str_find(str_n(path.p, first), ':');
        buf_add(out, path.p, name);
        if (name > 0)
            buf_add_char(out, '@');
        while (str_find(path, '@') < path.n)
            str_split(&path, '@');
    }
    buf_add_str(out, path);
}

static void add_words(struct buf *out, struct str words)
{
    static const char *const shown[] = {"host=", "hostaddr=", "port=", "dbname=", "user="};
    while (words.n > 0) {
        struct str word = str_split(&words, ' ');
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
            if (str_starts(word, str_c(shown[i])))
                buf_printf(out, "%s%.*s", out->n ? " " : "", (int)word.n, word.p);
    }
}

void driver_health_address(struct driver_health *h, const char *url)
{
    struct buf out = {0};
    const char *scheme = strstr(url, "://");
    if (scheme)
        add_url(&out, str_c(url), (size_t)(scheme - url) + 3);
    else if (strchr(url, '='))
        add_words(&out, str_c(url));
    else
        buf_add_c(&out, url);
    pthread_mutex_lock(&lock);
    snprintf(h->address, sizeof h->address, "%.*s", (int)out.n, out.p ? out.p : "");
    pthread_mutex_unlock(&lock);
    buf_free(&out);
}

static bool set_level(struct driver_health *h, enum driver_level level, const struct err *err)
{
    if (!h)
        return false;
    pthread_mutex_lock(&lock);
    bool changed = h->state.level != level;
    h->state.level = level;
    if (changed)
        h->state.since_wall = clock_wall_ns();
    if (err)
        h->state.err = *err;
    else
        err_clear(&h->state.err);
    pthread_mutex_unlock(&lock);
    if (changed)
        metric_set(h->up, level == DRIVER_UP ? 1 : level == DRIVER_DEGRADED ? 0.5 : 0);
    return changed;
}

/* Each answer counts for an eighth. */
void driver_health_took(struct driver_health *h, int64_t ns)
{
    if (!h || ns <= 0)
        return;
    pthread_mutex_lock(&lock);
    int64_t before = h->state.took_ns;
    h->state.took_ns = before ? before + (ns - before) / 8 : ns;
    pthread_mutex_unlock(&lock);
}

bool driver_health_up(struct driver_health *h)
{
    return set_level(h, DRIVER_UP, NULL);
}

bool driver_health_degraded(struct driver_health *h, const struct err *err)
{
    return set_level(h, DRIVER_DEGRADED, err);
}

bool driver_health_down(struct driver_health *h, const struct err *err)
{
    return set_level(h, DRIVER_DOWN, err);
}

void driver_health_list(void (*each)(const struct driver_state *state, void *arg), void *arg)
{
    pthread_mutex_lock(&lock);
    list_each (link, &all)
        each(&list_entry(link, struct driver_health, link)->state, arg);
    pthread_mutex_unlock(&lock);
}

const char *driver_level_name(enum driver_level level)
{
    static const char *const names[] = {"up", "degraded", "down"};
    return names[level];
}
