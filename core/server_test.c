#include "server_test.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/still.h"
#include "bind/jobs_run.h"
#include "bind/test.h"
#include "channels/channel.h"
#include "config/config.h"
#include "cron/cron.h"
#include "http/client.h"
#include "http/tape.h"
#include "jobs/admin.h"
#include "jobs/job.h"
#include "loop/pool.h"
#include "loop/program.h"
#include "loop/standstill.h"
#include "search/search.h"
#include "server_parts.h"
#include "storage/sqlite.h"
#include "vm/bundle.h"
#include "vm/task.h"
#include "vm/vm.h"

#define HTTP_SOCKET  "http.sock"
#define ADMIN_SOCKET "admin.sock"

struct spec_run {
    const struct server_test *options;
    struct server_guest guest;
    struct server *server;
    struct test_host test;
    struct host host; /* of the spec's VM: the server's, with bind_test */
    struct lane **lanes;
    struct vm *vm;
    char label[96];
    struct map *settings; /* control lane: plugin → JSON given by the spec */
    int exit_code;
};

/* -- what cannot go on --------------------------------------------------------------------------
 */

/* Any thread.  The report is the last word: other threads may be lost, so nothing is torn down. */
_Noreturn static void give_up(const struct spec_run *r, const char *message)
{
    struct buf line = {0};
    buf_add_c(&line, "return {event=\"gone\",message=");
    json_write_string(&line, str_c(message));
    buf_add_c(&line, "}\n");
    ssize_t ignored = write(r->options->report_fd, line.p, line.n); /* silence says it, too */
    (void)ignored;
    fflush(NULL);
    _exit(SERVER_TEST_TOLD);
}

static void runaway(struct server *s, const char *reason)
{
    give_up(s->guest->arg, reason);
}

static void stuck(void *arg)
{
    give_up(arg, "the test waits for what cannot come: nothing is going on and no timer is set");
}

/* -- what time asks -------------------------------------------------------------------------- */

static bool background(void *arg)
{
    const struct server *s = ((struct spec_run *)arg)->server;
    return !pool_is_idle(s->pool) || !pool_is_idle(s->loader) ||
           !sqlite_is_idle(store_sqlite(s->store)) || !search_is_idle(s->search);
}

static bool outside(void *arg, struct lane *lane)
{
    const struct server *s = ((struct spec_run *)arg)->server;
    return lane != s->control &&
           (http_client_is_outside(s->clients[lane->index]) || programs_running(s->programs, lane));
}

static bool start_time(struct spec_run *r, struct err *err)
{
    struct server *s = r->server;
    r->lanes = mem_zero((size_t)s->lane_count + 1, sizeof *r->lanes);
    for (int i = 0; i < s->lane_count; i++)
        r->lanes[i] = s->lanes[i];
    r->lanes[s->lane_count] = s->control;
    struct standstill_options options = {.lanes = r->lanes,
                                         .count = s->lane_count + 1,
                                         .background = background,
                                         .outside = outside,
                                         .stuck = stuck,
                                         .arg = r};
    r->test.still = standstill_start(&options, err);
    return r->test.still != NULL;
}

/* -- the end --------------------------------------------------------------------------------- */

static void on_time_flows(void *arg)
{
    struct spec_run *r = arg;
    standstill_free(r->test.still);
    channel_hub_tap(r->server->channels, NULL, NULL);
    r->server->exit_code = r->exit_code;
    server_drain(r->server);
}

static void end_on_control(void *arg)
{
    struct spec_run *r = arg;
    standstill_stop(r->test.still, r->server->control, on_time_flows, r);
}

static void on_vm_idle(struct vm *vm, void *owner)
{
    struct spec_run *r = owner;
    vm_destroy(vm);
    lane_call(r->server->control, end_on_control, r);
}

static void retire(void *arg)
{
    struct vm *vm = ((struct spec_run *)arg)->vm;
    vm_cancel_tasks(vm);
    vm_retire(vm);
}

static void on_spec_end(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                        void *arg)
{
    struct spec_run *r = arg;
    (void)L, (void)results;
    if (outcome != TASK_DONE) {
        const struct task_failure *failure = outcome == TASK_FAILED ? task_failure(task) : NULL;
        fprintf(stderr, "maru: %s%s%s\n", failure ? failure->message : "the spec was stopped",
                failure && *failure->traceback ? "\n" : "", failure ? failure->traceback : "");
        r->exit_code = 1;
    }
    lane_call(r->server->guest_lane, retire, r);
}

/* -- the spec's VM --------------------------------------------------------------------------- */

static void begin_spec(void *arg)
{
    struct spec_run *r = arg;
    const struct bundle *bundle = r->options->bundle;
    struct err err = {0};
    struct buf settings = {0};
    config_plugin(r->server->config, bundle->name, &settings);
    struct vm_options options = {
        .lane = r->server->guest_lane,
        .host = &r->host,
        .bundle = bundle,
        .label = r->label,
        .config_json = buf_str(&settings),
        .boot = "maru.test.boot",
        .owner = r,
        .idle = on_vm_idle,
    };
    struct task_options task = {
        .kind = TASK_START,
        .label = "spec",
        .deadline_ns = INT64_MAX / 4,
        .end = on_spec_end,
        .arg = r,
    };
    r->vm = vm_create(&options, NULL, &err);
    buf_free(&settings);
    if (r->vm && task_start(r->vm, &task, &err))
        return;
    fprintf(stderr, "maru: %s\n", err.message);
    r->exit_code = 1;
    if (r->vm)
        retire(r);
    else
        lane_call(r->server->control, end_on_control, r);
}

/* -- calls of the spec, on the control lane -------------------------------------------------- */

struct control_call {
    struct spec_run *run;
    struct test_call *call;
    char *name; /* of a plugin */
};

static void answer(struct control_call *c)
{
    test_call_done(c->call);
    mem_free(c->name);
    mem_free(c);
}

static void join_errors(const struct reload_result *result, struct err *err)
{
    struct buf all = {0};
    for (int i = 0; i < result->error_count; i++)
        buf_printf(&all, "%s%s", i ? "\n" : "", result->errors[i].message);
    if (!result->ok)
        err_set(err, ERR_LUA, "%s", all.n ? all.p : "the plugin did not load");
    buf_free(&all);
}

static void on_loaded(const struct reload_result *result, void *arg)
{
    struct control_call *c = arg;
    struct server *s = c->run->server;
    join_errors(result, &c->call->err);
    if (result->ok && web_open(s, &c->call->err)) {
        atomic_store(&s->shown.ready, true);
        series_begin(s);
    }
    answer(c);
}

/* load: every plugin that is needed; the server serves from then on */
static void do_load(struct control_call *c)
{
    struct reload_request request = {.cause = "test", .done = on_loaded, .arg = c};
    reload_run(c->run->server->reload, &request);
}

static void on_reloaded(const struct reload_result *result, void *arg)
{
    struct control_call *c = arg;
    join_errors(result, &c->call->err);
    answer(c);
}

/* reload <plugin> */
static void do_reload(struct control_call *c)
{
    c->name = str_dup(c->call->text);
    const char *names[] = {c->name, NULL};
    struct reload_request request = {
        .names = names, .forced = true, .cause = "test", .done = on_reloaded, .arg = c};
    reload_run(c->run->server->reload, &request);
}

/* configure <plugin>\n<JSON> */
static void do_configure(struct control_call *c)
{
    struct str json = c->call->text, plugin = str_split(&json, '\n');
    mem_free(map_remove(c->run->settings, plugin));
    map_set(c->run->settings, plugin, str_dup(json));
    answer(c);
}

static void on_fired(void *arg, const struct err *err, int64_t job_id)
{
    struct control_call *c = arg;
    c->call->err = *err;
    buf_printf(&c->call->out, "%lld", (long long)job_id);
    answer(c);
}

/* cron <plugin>\n<schedule's id> -> the job's id */
static void do_cron(struct control_call *c)
{
    struct str id = c->call->text, plugin = str_split(&id, '\n');
    cron_run_now(c->run->server->cron, plugin, id, on_fired, c);
}

/* clock <milliseconds since 1970>: delays of jobs and schedules are measured by it */
static void do_clock(struct control_call *c)
{
    long long ms = 0;
    str_int64(c->call->text, &ms);
    still_set_wall(ms * NS_PER_MS);
    jobs_hold(c->run->server->jobs, true);
    if (reload_current(c->run->server->reload))
        cron_begin_anew(c->run->server->cron);
    answer(c);
}

/* schedules -> JSON as in GET /admin/v1/schedules */
static void do_schedules(struct control_call *c)
{
    cron_print(c->run->server->cron, &c->call->out);
    answer(c);
}

static const struct {
    const char *name;
    void (*run)(struct control_call *c);
} calls[] = {
    {"load", do_load}, {"reload", do_reload},       {"configure", do_configure},
    {"cron", do_cron}, {"schedules", do_schedules}, {"clock", do_clock},
};

static void call_on_control(void *arg)
{
    struct control_call *c = arg;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (!strcmp(calls[i].name, c->call->name)) {
            calls[i].run(c);
            return;
        }
    }
    err_set(&c->call->err, ERR_NOT_FOUND, "no call %s", c->call->name);
    answer(c);
}

static void control(void *arg, struct test_call *call)
{
    struct spec_run *r = arg;
    struct control_call *c = mem_zero(1, sizeof *c);
    *c = (struct control_call){.run = r, .call = call};
    lane_call(r->server->control, call_on_control, c);
}

static int connect_to(void *arg, bool operator, struct err * err)
{
    const struct spec_run *r = arg;
    return listen_connect_unix(r->server->state_dir, operator? ADMIN_SOCKET : HTTP_SOCKET, err);
}

/* -- the guest ------------------------------------------------------------------------------- */

static void on_message(void *arg, struct str topic, struct str json)
{
    struct spec_run *r = arg;
    test_note_message(&r->test.notes, topic, json);
}

static void run_job(struct job_run *run, void *arg)
{
    struct spec_run *r = ((struct server *)arg)->guest->arg;
    test_note_job(&r->test.notes, run->id);
    jobs_run_task(run, NULL);
}

static void run_batch(struct job_run *const *runs, int count, void *arg)
{
    struct spec_run *r = ((struct server *)arg)->guest->arg;
    for (int i = 0; i < count; i++)
        test_note_job(&r->test.notes, runs[i]->id);
    jobs_run_batch_task(runs, count, NULL);
}

static char *config_json(struct server *s, const char *plugin)
{
    struct spec_run *r = s->guest->arg;
    return mem_strdup(map_get(r->settings, str_c(plugin)));
}

static void begin(struct server *s)
{
    struct spec_run *r = s->guest->arg;
    struct err err = {0};
    r->server = s;
    s->host.bind = bind_tested;
    s->host.test = &r->test;
    r->host = s->host;
    r->host.bind = bind_test;
    channel_hub_tap(s->channels, on_message, r);
    jobs_hold(s->jobs, true);
    if (start_time(r, &err)) {
        lane_call(s->guest_lane, begin_spec, r);
        return;
    }
    fprintf(stderr, "maru: %s\n", err.message);
    s->exit_code = 1;
    server_drain(s);
}

static bool open_sockets(struct inherited *in, const char *dir, int control_pair[2],
                         struct err *err)
{
    *in = (struct inherited){.supervisor = getpid(), .admin_unix = -1, .http.count = 1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control_pair))
        return err_set(err, ERR_IO, "cannot make a pair of sockets");
    in->control = control_pair[0];
    in->http.fds[0] = listen_unix(dir, HTTP_SOCKET, err);
    in->admin_unix = in->http.fds[0] < 0 ? -1 : listen_unix(dir, ADMIN_SOCKET, err);
    return in->admin_unix >= 0;
}

static void settings_free(struct map *settings)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(settings, &at, &key, &value))
        mem_free(value);
    map_destroy(settings);
}

int server_test_run(const struct server_test *options)
{
    struct spec_run r = {.options = options};
    struct inherited in;
    struct err err = {0};
    int pair[2] = {-1, -1};
    r.guest = (struct server_guest){begin, run_job, run_batch, config_json, runaway, &r};
    r.test.run_json = options->run_json;
    r.test.report_fd = options->report_fd;
    r.test.control = control;
    r.test.connect = connect_to;
    r.test.arg = &r;
    r.settings = map_create();
    test_notes_init(&r.test.notes);
    r.test.pause = options->pause ? test_pause_create() : NULL;
    tape_insert(options->record ? TAPE_RECORDS : TAPE_PLAYS);
    snprintf(r.label, sizeof r.label, "%s@spec", options->bundle->name);
    int code = 1;
    if (open_sockets(&in, config_text(options->config, "state.dir"), pair, &err))
        code = server_run_guest(options->config, &in, &r.guest);
    else
        fprintf(stderr, "maru: %s\n", err.message);
    for (int i = 0; i < 2 && pair[i] >= 0; i++)
        close(pair[i]);
    test_notes_free(&r.test.notes);
    test_pause_destroy(r.test.pause);
    tape_clear();
    settings_free(r.settings);
    mem_free(r.lanes);
    return code;
}
