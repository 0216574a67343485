/* server_parts.h -- struct server, which owns every part; shared by server*.c only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "admin/admin.h"
#include "base/err.h"
#include "base/list.h"
#include "http/mail.h"
#include "http/server.h"
#include "inherit.h"
#include "jobs/jobs.h"
#include "loop/lane.h"
#include "node.h"
#include "reload/reload.h"
#include "server.h"
#include "vm/host.h"
#include "vm/watchdog.h"

struct event_note;
struct events;
struct gpu;
struct job_death;
struct job_run;
struct server_guest;

struct server {
    /* immutable after start */
    const struct config *config;
    const struct server_config *source;
    struct inherited in;
    struct node node;
    struct server_guest *guest;
    struct lane *guest_lane; /* the last of lanes[]; NULL without a guest */
    const char *state_dir;
    int web_count, job_count, lane_count; /* lanes[] holds web lanes, then job lanes */
    struct lane **lanes, *control;
    struct quarantine *quarantine;
    struct watchdog *watchdog;
    enum watch_protection protection;
    struct pool *pool, *loader;
    struct store *store;        /* the host's own tables, in SQLite */
    struct store *plugin_store; /* the plugins': the same, or PostgreSQL */
    struct carry *carry;        /* what the plugins' transactions bring along; NULL: the same */
    struct gpu *gpu;            /* or NULL */
    struct series_store *series;
    struct objects *objects;
    struct mail_server mail;
    struct search *search;
    struct cache_driver *cache;
    struct channel_hub *channels;
    struct channel_bus *bus; /* NULL: messages stay in this process */
    struct events *events;
    struct jobs *jobs;
    struct cron *cron;
    struct programs *programs;
    struct model *model;
    struct http_client **clients; /* by lane index, as struct host wants them */
    struct http_server *http;
    struct http_lane **web; /* by web lane */
    const char **cors_origins;
    struct admin_parts shown; /* what the admin API sees of this struct */
    struct admin *admin;
    struct host host;
    struct reload *reload;
    char *public_dir, *vendor_dir, *keep_dir, *accepted_dir, **plugin_dirs;
    const char **disabled, **tolerated, **trusted;
    /* control lane */
    struct config *plugin_config; /* read again by a reload; NULL = config */
    struct watch *watch;
    uv_poll_t supervisor;
    struct buf line; /* of the control socket, not yet whole */
    struct timer drain_check;
    int64_t drain_until, record_until; /* so long the shared record may still answer */
    int closing;
    struct timer expire;
    struct timer tell_others; /* what this node says of itself */
    struct timer ask_again;   /* the supervisor, for a successor */
    bool working, draining, supervisor_open;
    int exit_code;
};

/* What `maru test` puts into a server (server_test.c): a lane more, on which specs run; jobs
 * that are noted; settings of the spec's.  NULL in a server that serves. */
struct server_guest {
    void (*begin)(struct server *s); /* instead of loading plugins; the control lane runs next */
    void (*run_job)(struct job_run *run, void *arg); /* instead of jobs_run_task */
    void (*run_batch)(struct job_run *const *runs, int count, void *arg);
    char *(*config_json)(struct server *s, const char *plugin); /* NULL = as configured */
    void (*runaway)(struct server *s, const char *reason); /* watchdog's thread; does not return */
    void *arg;
};

/* One part: stop undoes start, and is only called when start succeeded. */
struct server_part {
    const char *name;
    bool (*start)(struct server *s, struct err *err);
    void (*stop)(struct server *s);
    int exit_code; /* of the process when start fails */
};

/* server.c: server_run() with a guest. */
int server_run_guest(const struct config *config, const struct inherited *in,
                     struct server_guest *guest);

/* server_lanes.c: threads, and what each of them has of its own. */
void lanes_count(struct server *s); /* how many of each kind there will be */
bool lanes_start(struct server *s, struct err *err);
void lanes_stop(struct server *s);
bool programs_part_start(struct server *s, struct err *err);
void programs_part_stop(struct server *s);
bool clients_start(struct server *s, struct err *err);
void clients_stop(struct server *s);

/* server.c: what databases are opened with. */
extern const int64_t server_lock_wait_ns;
void server_store_failed(void *arg, const struct err *err);

/* server_store.c */
bool plugin_store_start(struct server *s, struct err *err);
/* Transactions end, while jobs and events that they brought along still have theirs. */
void plugin_store_leave(struct server *s);
void plugin_store_stop(struct server *s);

/* server_watch.c: handlers that do not end. */
bool watchdog_part_start(struct server *s, struct err *err);
void watchdog_part_stop(struct server *s);
bool server_has_lost_lane(const struct server *s);

/* server_web.c */
bool http_start(struct server *s, struct err *err);
void http_stop(struct server *s);
/* Takes connections from now on. */
bool web_open(struct server *s, struct err *err);
void web_drain(struct server *s);
int web_connections(const struct server *s); /* open ones; they end by themselves in a drain */
/* Those of one plugin, with 1013. */
void web_close_sockets(struct server *s, const char *owner);
/* Closes what is open; done on the control lane. */
void web_close(struct server *s, void (*done)(struct server *s));

/* server_work.c: jobs and schedules follow the set that serves. */
bool jobs_part_start(struct server *s, struct err *err);
void jobs_part_stop(struct server *s);
bool cron_part_start(struct server *s, struct err *err);
void cron_part_stop(struct server *s);
/* A plugin of the set that serves is held back: its jobs wait, its sockets are closed. */
void work_held(void *server, struct generation *g);
bool work_check(void *server, const struct set *set, struct err *err);
void work_swapped(void *server, const struct set *set, struct generation *const *gone, int count);

/* server_mail.c */
bool mail_part_start(struct server *s, struct err *err);
void mail_part_stop(struct server *s);

/* server_objects.c */
bool objects_start(struct server *s, struct err *err);
void objects_stop(struct server *s);
void objects_upkeep_begin(struct server *s); /* plugins serve; until plugins_stop() */

/* server_node.c: what it says of itself to the others, once it is ready. */
void node_begin(struct server *s);

/* server_data.c: declared series. */
bool series_check(struct server *s, const struct set *set, struct err *err);
void series_follow(struct server *s, const struct set *set);
void series_begin(struct server *s); /* once it is ready */

/* server_events.c: the event stream, and what the queue keeps of it. */
bool events_part_start(struct server *s, struct err *err);
void events_part_stop(struct server *s);
void events_follow_set(struct server *s, const struct set *set);
void *server_event_died(const struct job_death *death, void *server);
bool server_event_note(struct sqlite_conn *conn, void *note, struct err *err);
void server_event_noted(void *note, enum job_noted how);

/* server_search.c */
bool search_start(struct server *s, struct err *err);
void search_stop(struct server *s);
bool search_check(struct server *s, const struct set *set, struct err *err);
void search_follow(struct server *s, const struct set *set);

/* server_plugins.c */
bool plugins_start(struct server *s, struct err *err);
void plugins_stop(struct server *s);
void plugins_load(struct server *s, reload_done_fn *done); /* the first set */
void plugins_reload(struct server *s, const char *cause);  /* everything that changed */
void plugins_watch(struct server *s);

/* server_drain.c */
bool supervisor_start(struct server *s, struct err *err);
void supervisor_stop(struct server *s);
void supervisor_tell(const struct server *s, const char *line);
void server_drain(struct server *s);
/* Ends the process without its lanes, once what was finished is on disk. */
void server_leave(struct server *s);
/* A lane was lost: a drain that is under way has less time from now on. */
void server_hurry(struct server *s);
