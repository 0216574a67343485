/* server_lanes.c -- the threads, and what each of them has of its own: programs, an HTTP client. */

#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "channels/bus.h"
#include "config/config.h"
#include "http/client.h"
#include "loop/program.h"
#include "server_parts.h"
#include "storage/cache_driver.h"

static int count_or_cores(const struct config *config, const char *key)
{
    long long asked = config_integer(config, key);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return asked ? (int)asked : cores > 0 && cores < LISTEN_LANES / 2 ? (int)cores : 1;
}

/* There is a web lane for each inherited socket, or some would never be served; one at least, for
 * the admin socket. */
void lanes_count(struct server *s)
{
    s->web_count = s->in.http.count > s->in.https.count ? s->in.http.count : s->in.https.count;
    if (!s->web_count)
        s->web_count = 1;
    s->job_count = s->node.jobs ? count_or_cores(s->config, "lanes.job") : 0;
    s->lane_count = s->web_count + s->job_count + (s->guest ? 1 : 0);
}

bool lanes_start(struct server *s, struct err *err)
{
    s->lanes = mem_zero((size_t)s->lane_count + 1, sizeof *s->lanes);
    s->clients = mem_zero((size_t)s->lane_count + 1, sizeof *s->clients);
    for (int i = 0; i < s->lane_count; i++) {
        bool web = i < s->web_count, guest = i == s->web_count + s->job_count;
        char name[16];
        snprintf(name, sizeof name, "%s%d",
                 web     ? "web"
                 : guest ? "test"
                         : "job",
                 web ? i : i - s->web_count);
        s->lanes[i] = lane_create(i, web || guest ? LANE_WEB : LANE_JOB, name, err);
        if (!s->lanes[i] || !lane_start(s->lanes[i], NULL, NULL, err))
            return false;
    }
    s->guest_lane = s->guest ? s->lanes[s->lane_count - 1] : NULL;
    return true;
}

void lanes_stop(struct server *s)
{
    for (int i = 0; i < s->lane_count; i++)
        lane_stop(s->lanes[i]);
    for (int i = 0; i < s->lane_count; i++) {
        lane_join(s->lanes[i]);
        lane_destroy(s->lanes[i]);
    }
    mem_free(s->lanes);
    mem_free(s->clients);
}

bool programs_part_start(struct server *s, struct err *err)
{
    char *dir = mem_printf("%s/programs", s->state_dir);
    s->programs = programs_create(dir, s->lanes, s->lane_count, s->pool, err);
    mem_free(dir);
    return s->programs != NULL;
}

void programs_part_stop(struct server *s)
{
    programs_destroy(s->programs);
}

struct client_start {
    struct server *server;
    int index;
    struct err err;
    bool ok;
};

static void client_start(void *arg)
{
    struct client_start *c = arg;
    struct server *s = c->server;
    s->clients[c->index] = http_client_create(s->lanes[c->index], &c->err);
    c->ok =
        s->clients[c->index] && cache_driver_enter(s->cache, s->lanes[c->index], false, &c->err);
}

bool clients_start(struct server *s, struct err *err)
{
    for (int i = 0; i < s->lane_count; i++) {
        struct client_start c = {.server = s, .index = i};
        lane_call_wait(s->lanes[i], client_start, &c);
        if (!c.ok) {
            *err = c.err;
            return false;
        }
    }
    return cache_driver_enter(s->cache, s->control, true, err) &&
           (!s->bus || channel_bus_enter(s->bus, s->control, err));
}

static void client_stop(void *arg)
{
    struct client_start *c = arg;
    http_client_destroy(c->server->clients[c->index]);
    cache_driver_leave(c->server->cache, c->server->lanes[c->index]);
}

void clients_stop(struct server *s)
{
    if (s->bus)
        channel_bus_leave(s->bus);
    cache_driver_leave(s->cache, s->control);
    for (int i = 0; i < s->lane_count; i++) {
        struct client_start c = {.server = s, .index = i};
        lane_call_wait(s->lanes[i], client_stop, &c);
    }
}
