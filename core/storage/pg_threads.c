/* pg_threads.c -- the threads that connect, which all identities share, and who waits for them.
 *
 * An address that gives no answer holds a thread for as long as an attempt may take.  So two of
 * them at most try one address at a time, one when the last attempt was long and in vain; whoever
 * waits for it meanwhile takes its answer.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "storage/pg_private.h"

enum { THREADS = 4, TRIES_AT_ONCE = 2, LONG_MS = 1000, PREFER_S = 30 };

struct pgsql_address { /* all of it under shared_lock, but url */
    struct list link;
    char *url;
    int refs, trying;
    bool slow;           /* the last attempt was long and in vain */
    int first;           /* of its hosts: the one to begin with … */
    int64_t first_until; /* … up to then */
    struct list waiting; /* struct pgsql_connecting's wait */
};

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *shared; /* under shared_lock, as the next two */
static int shared_refs;
static struct list addresses = {&addresses, &addresses};

static struct pgsql_address *address_of(const char *url)
{
    list_each (link, &addresses) {
        struct pgsql_address *address = list_entry(link, struct pgsql_address, link);
        if (strcmp(address->url, url) == 0)
            return address;
    }
    struct pgsql_address *address = mem_zero(1, sizeof *address);
    address->url = mem_strdup(url);
    list_init(&address->waiting);
    list_push_back(&addresses, &address->link);
    return address;
}

struct pgsql_address *pg_threads_ref(const char *url, struct err *err)
{
    struct pgsql_address *address = NULL;
    pthread_mutex_lock(&shared_lock);
    if (shared_refs == 0)
        shared = pool_create("postgres", THREADS, err);
    if (shared) {
        shared_refs++;
        address = address_of(url);
        address->refs++;
    }
    pthread_mutex_unlock(&shared_lock);
    return address;
}

void pg_threads_unref(struct pgsql_address *address)
{
    pthread_mutex_lock(&shared_lock);
    if (--address->refs == 0) {
        list_remove(&address->link);
        mem_free(address->url);
        mem_free(address);
    }
    if (--shared_refs == 0) {
        pool_destroy(shared);
        shared = NULL;
    }
    pthread_mutex_unlock(&shared_lock);
}

void pg_address_tried(struct pgsql_address *address, int host, int64_t took_ns)
{
    bool took_long = took_ns >= LONG_MS * NS_PER_MS;
    pthread_mutex_lock(&shared_lock);
    address->slow = host < 0 && took_long;
    if (host >= 0 && took_long) {
        address->first = host;
        address->first_until = clock_steady_ns() + PREFER_S * NS_PER_SECOND;
    }
    pthread_mutex_unlock(&shared_lock);
}

int pg_address_first(struct pgsql_address *address)
{
    pthread_mutex_lock(&shared_lock);
    int first = clock_steady_ns() < address->first_until ? address->first : 0;
    pthread_mutex_unlock(&shared_lock);
    return first;
}

bool pgsql_is_slow(struct pgsql *db)
{
    pthread_mutex_lock(&shared_lock);
    bool slow = db->address->slow;
    pthread_mutex_unlock(&shared_lock);
    return slow;
}

/* -- attempts -- */

static void on_arrived(struct lane_message *message)
{
    struct pgsql_connecting *c = list_entry(message, struct pgsql_connecting, message);
    list_remove(&c->link);
    c->arrived(c);
    mem_free(c);
}

/* On the thread; nothing of it is there behind this. */
static void hand_over(struct pgsql_connecting *c)
{
    struct pgsql *db = c->db;
    PGconn *made = c->c;
    pthread_mutex_lock(&db->lock);
    bool dropped = c->state == CONNECTING_DROPPED;
    if (!dropped) {
        c->state = CONNECTING_ARRIVES;
        c->message.fn = on_arrived;
        lane_post(c->lane, &c->message);
    }
    if (dropped) {
        PQfinish(made);
        mem_free(c);
    }
    db->running--;
    pthread_cond_broadcast(&db->quiet);
    pthread_mutex_unlock(&db->lock);
}

static void work(struct pool_job *job)
{
    struct pgsql_connecting *c = list_entry(job, struct pgsql_connecting, job);
    pthread_mutex_lock(&c->db->lock);
    bool wanted = c->state != CONNECTING_DROPPED;
    pthread_mutex_unlock(&c->db->lock);
    if (wanted)
        c->c = pgsql_connect_wait(c->db, &c->err);
}

static bool may_try(const struct pgsql_address *address)
{
    return address->trying < (address->slow ? 1 : TRIES_AT_ONCE);
}

/* Still on the thread, and the last that it does with the job. */
static void on_tried(struct pool_job *job)
{
    struct pgsql_connecting *c = list_entry(job, struct pgsql_connecting, job);
    struct pgsql_address *address = c->db->address;
    struct list told, next;
    list_init(&told);
    list_init(&next);
    pthread_mutex_lock(&shared_lock);
    address->trying--;
    if (!c->c && address->slow)
        list_splice(&told, &address->waiting);
    while (!list_empty(&address->waiting) && may_try(address)) {
        struct list *first = address->waiting.next;
        address->trying++;
        list_remove(first);
        list_push_back(&next, first);
    }
    pthread_mutex_unlock(&shared_lock);
    while (!list_empty(&told)) {
        struct pgsql_connecting *other = list_entry(told.next, struct pgsql_connecting, wait);
        list_remove(&other->wait);
        other->err = c->err;
        hand_over(other);
    }
    while (!list_empty(&next)) {
        struct pgsql_connecting *other = list_entry(next.next, struct pgsql_connecting, wait);
        list_remove(&other->wait);
        pool_submit(shared, &other->job, NULL);
    }
    hand_over(c);
}

struct pgsql_connecting *pg_connecting_start(struct pgsql *db, struct lane *lane,
                                             void (*arrived)(struct pgsql_connecting *connecting),
                                             void *arg)
{
    struct pgsql_connecting *c = mem_zero(1, sizeof *c);
    c->db = db;
    c->lane = lane;
    c->arrived = arrived;
    c->arg = arg;
    c->job.work = work;
    c->job.done = on_tried;
    list_init(&c->link);
    list_init(&c->wait);
    pthread_mutex_lock(&db->lock);
    db->running++;
    pthread_mutex_unlock(&db->lock);
    pthread_mutex_lock(&shared_lock);
    bool now = may_try(db->address);
    if (now)
        db->address->trying++;
    else
        list_push_back(&db->address->waiting, &c->wait);
    pthread_mutex_unlock(&shared_lock);
    if (now)
        pool_submit(shared, &c->job, NULL);
    return c;
}

bool pg_connecting_drop(struct pgsql_connecting *c)
{
    pthread_mutex_lock(&c->db->lock);
    bool runs = c->state == CONNECTING_RUNS;
    list_remove(&c->link);
    if (runs)
        c->state = CONNECTING_DROPPED;
    pthread_mutex_unlock(&c->db->lock);
    return runs;
}
