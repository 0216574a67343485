/* pg_listen.c -- LISTEN on a connection of its own: a pool's connections come and go. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "storage/pg_private.h"

struct pgsql_listen {
    struct pgsql *db;
    struct lane *lane;
    struct pgsql_connecting *connecting;
    PGconn *c;
    uv_poll_t poll;
    bool polls; /* poll is open */
    bool over;  /* freed when poll is closed */
    struct timer retry;
    int64_t pause_ms;
    char *sql;
    void (*heard)(const char *payload, void *arg);
    void *arg;
};

static void connect_again(struct pgsql_listen *l);

static void on_retry(struct timer *timer)
{
    connect_again(list_entry(timer, struct pgsql_listen, retry));
}

static void retry_later(struct pgsql_listen *l)
{
    l->pause_ms = l->pause_ms ? l->pause_ms * 2 : PGSQL_PAUSE_LEAST_MS;
    if (l->pause_ms > PGSQL_PAUSE_MOST_MS)
        l->pause_ms = PGSQL_PAUSE_MOST_MS;
    l->retry.fire = on_retry;
    l->retry.upkeep = true;
    timer_start(l->lane, &l->retry,
                (int64_t)((double)l->pause_ms * (0.75 + rand_unit() / 2) * NS_PER_MS));
}

static void on_closed(uv_handle_t *handle)
{
    struct pgsql_listen *l = handle->data;
    l->polls = false;
    if (l->over)
        mem_free(l);
    else
        retry_later(l);
}

static void drop(struct pgsql_listen *l)
{
    uv_poll_stop(&l->poll);
    PQfinish(l->c);
    l->c = NULL;
    uv_close((uv_handle_t *)&l->poll, on_closed);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct pgsql_listen *l = poll->data;
    (void)events;
    bool alive = status >= 0 && PQconsumeInput(l->c);
    while (l->c && !PQisBusy(l->c)) {
        PGresult *r = PQgetResult(l->c);
        if (!r)
            break;
        alive = alive && PQresultStatus(r) == PGRES_COMMAND_OK;
        PQclear(r);
        if (alive)
            l->heard(NULL, l->arg);
    }
    PGnotify *note;
    while (!l->over && l->c && (note = PQnotifies(l->c))) {
        l->heard(note->extra, l->arg);
        PQfreemem(note);
    }
    if (!alive && l->c)
        drop(l);
}

static void on_connected(struct pgsql_connecting *connecting)
{
    struct pgsql_listen *l = connecting->arg;
    l->connecting = NULL;
    if (l->over) {
        PQfinish(connecting->c);
        mem_free(l);
        return;
    }
    if (!connecting->c) {
        retry_later(l);
        return;
    }
    l->c = connecting->c;
    l->pause_ms = 0;
    l->polls = true;
    uv_poll_init(&l->lane->loop, &l->poll, PQsocket(l->c));
    l->poll.data = l;
    uv_poll_start(&l->poll, UV_READABLE, on_poll);
    if (!PQsendQuery(l->c, l->sql))
        drop(l);
}

static void connect_again(struct pgsql_listen *l)
{
    l->connecting = pg_connecting_start(l->db, l->lane, on_connected, l);
}

struct pgsql_listen *pgsql_listen(struct pgsql *db, struct lane *lane, const char *channel,
                                  void (*heard)(const char *payload, void *arg), void *arg)
{
    struct pgsql_listen *l = mem_zero(1, sizeof *l);
    l->db = db;
    l->lane = lane;
    l->heard = heard;
    l->arg = arg;
    l->sql = mem_printf("listen \"%s\"", channel);
    connect_again(l);
    return l;
}

void pgsql_unlisten(struct pgsql_listen *l)
{
    if (!l)
        return;
    l->over = true;
    mem_free(l->sql);
    l->sql = NULL;
    timer_stop(l->lane, &l->retry);
    if (l->connecting && !pg_connecting_drop(l->connecting))
        return; /* on_connected frees it */
    if (l->c)
        drop(l);
    else if (!l->polls)
        mem_free(l);
}
