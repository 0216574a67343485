/* cmd_serve.c -- `maru serve`: the supervisor, and the server process it starts. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "cli/cli.h"
#include "cli/demo.h"
#include "config/config.h"
#include "inherit.h"
#include "node.h"
#include "observe/log.h"
#include "server.h"

struct source {
    const struct cli_options *options;
    char *demo[DEMO_SETS];
    int demo_count;
    const char *sets[CLI_SETS + DEMO_SETS];
    int set_count;
    bool warns; /* the log is open, and this is the server */
};

static void say_warnings(const struct config *config)
{
    for (int i = 0; config_warning(config, i); i++)
        log_warn("config", "%s", config_warning(config, i));
}

/* --set on the command line wins over what the demo sets. */
static void source_init(struct source *s, const struct cli_options *o, int port)
{
    s->options = o;
    s->demo_count = o->demo ? demo_sets(s->demo, port) : 0;
    for (int i = 0; i < s->demo_count; i++)
        s->sets[s->set_count++] = s->demo[i];
    for (int i = 0; i < o->set_count; i++)
        s->sets[s->set_count++] = o->sets[i];
}

static void source_fini(struct source *s)
{
    for (int i = 0; i < s->demo_count; i++)
        mem_free(s->demo[i]);
}

static struct config *source_load(void *arg, struct err *err)
{
    const struct source *s = arg;
    struct config *config = config_load(cli_config_path(s->options), s->sets, s->set_count, err);
    if (config && s->warns)
        say_warnings(config);
    return config;
}

static bool open_log(const struct config *config, struct err *err)
{
    const char *path = config_text(config, "log.file");
    enum log_level level;
    int fd = STDERR_FILENO;
    if (!log_level_parse(str_c(config_text(config, "log.level")), &level))
        return err_set(err, ERR_INVALID, "log.level: one of debug, info, warn, error");
    if (*path)
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_sys(err, errno, "log.file %s", path);
    log_setup(fd, level);
    return true;
}

static int web_lanes(const struct config *config)
{
    long long asked = config_integer(config, "lanes.web");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return asked ? (int)asked : cores < 1 ? 1 : cores > 32 ? 32 : (int)cores;
}

static int supervise(const struct cli_options *o, const struct config *config)
{
    char dir[PATH_MAX];
    struct err err = {0};
    struct node node;
    if (!node_read(config, &node, &err))
        return cli_fail(EXIT_CONFIG, "%s", err.message);
    const char *state = config_text(config, "state.dir");
    if (!dir_make(state, 0700, &err))
        return cli_fail(EXIT_STATE, "state.dir: %s", err.message);
    if (!realpath(state, dir))
        return cli_fail(EXIT_STATE, "state.dir %s: %s", state, strerror(errno));
    struct supervisor_options options = {
        .argv = o->argv,
        .http = node.web ? config_text(config, "http.listen") : NULL,
        .https = node.web ? config_text(config, "https.listen") : NULL,
        .admin = config_text(config, "admin.listen"),
        .state_dir = dir,
        .web_lanes = web_lanes(config),
        .grace_ns = config_ns(config, "shutdown.grace"),
    };
    return supervisor_run(&options);
}

int cmd_serve(const struct cli_options *o)
{
    struct inherited in;
    struct source source = {0};
    struct err err = {0};
    bool is_server = inherit_import(&in);
    if (o->word_count)
        return cli_fail(EXIT_USAGE, "serve takes no '%s'", o->words[0]);
    source_init(&source, o, is_server ? in.http.port : 0);
    struct config *config = source_load(&source, &err);
    if (!config || !open_log(config, &err)) {
        config_free(config);
        source_fini(&source);
        return cli_fail(EXIT_CONFIG, "%s", err.message);
    }
    if (is_server)
        say_warnings(config);
    source.warns = is_server;
    struct server_config again = {source_load, &source};
    int code = is_server ? server_run(config, &again, &in) : supervise(o, config);
    config_free(config);
    source_fini(&source);
    return code;
}
