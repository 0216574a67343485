#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

static const char options_help[] =
    "Options\n"
    "  -c, --config FILE      configuration, a Lua file that returns a table (see `maru config`);\n"
    "                         without it $MARU_CONFIG, then maru.lua in this folder\n"
    "  -s, --set KEY=VALUE    one configuration value; may be repeated, wins over the file\n"
    "  -h, --help             this text; `maru COMMAND --help` says more\n";

static const char exit_codes_help[] =
    "Exit codes\n"
    "  0  done\n"
    "  1  understood, but it failed\n"
    "  2  unknown command or option\n"
    "  3  configuration: a file or value is wrong, or an address is in use\n"
    "  4  a plugin does not load; the line names its file\n"
    "  5  no server runs on this state.dir\n"
    "  6  state.dir cannot be used: locked by another server, not writable, corrupt;\n"
    "     or what jobs.url names cannot be reached\n";

static const struct cli_command commands[] = {
    {"serve", "serve plugins until told to stop",
     "Starts a supervisor, which holds the sockets and keeps a server process behind them.\n"
     "Prints one line of JSON when every plugin serves:\n"
     "  "
     "{\"ready\":true,\"http\":\"http://"
     "127.0.0.1:8080\",\"https\":…,\"admin\":\"unix:…\",\"pid\":…}\n\n"
     "  --demo                 turn the simulator on and point the collectors at it\n"
     "  --tolerate NAME        start even if this plugin is broken; may be repeated\n"
     "  --roles ROLES          what this process does, of web,jobs,cron; without web it listens\n"
     "                         on the admin socket only, without jobs it pushes but runs none,\n"
     "                         without cron no schedule fires here\n\n"
     "Signals to the supervisor (the printed pid)\n"
     "  TERM, INT   stop: requests and jobs have shutdown.grace to finish\n"
     "  HUP         read plugins, their configuration and the certificate again\n"
     "  USR2        replace the server by the program file as it is on disk now\n",
     "serve [--demo] [--tolerate NAME]… [--roles ROLES]", cmd_serve},
    {"check", "find what is wrong with plugins, and say what a reload would do",
     "Nothing is served or reached: syntax, contract, requirements, routes, schedules, migrations\n"
     "and every source are checked.  A name of app.* or a global that is not there is found (a\n"
     "parameter called app is taken for the host's), and each SQL statement is prepared against\n"
     "tables made in memory.  Everything found is printed, with file, line and the lines around;\n"
     "then the plan.\n\n"
     "  --plan                 only what a reload would do\n"
     "  --strict               warnings fail, too\n"
     "  --json                 one JSON object: ok, errors, warnings, findings, plan\n",
     "check [NAME] [--plan] [--strict] [--json]", cmd_check},
    {"test", "run the specs of plugins in the host, on the real thing",
     "Runs NAME/spec/*_spec.lua, or those of every plugin, with busted: each file in a host of "
     "its\n"
     "own with an empty database, the real plugin and what it requires, and time that stands "
     "still\n"
     "until all is quiet.  Nothing outside is reached: requests are answered from cassettes.\n\n"
     "  --reload               each test three times: the plugin is reloaded before it, during it\n"
     "                         and after it\n"
     "  --filter PATTERN       only tests whose full name matches the Lua pattern\n"
     "  --record               reach other hosts for real and write spec/cassettes/*.json\n"
     "  --output HANDLER       one of busted's: plainTerminal, utfTerminal, gtest, TAP, junit\n"
     "  --json                 the same as --output json\n",
     "test [NAME] [--reload] [--filter PATTERN] [--record] [--output HANDLER]", cmd_test},
    {"reload", "make a running server load plugins again",
     "Without a name: every plugin whose files or configuration changed. With one: that plugin,\n"
     "changed or not. Answers when every lane has switched; a plugin that does not load keeps\n"
     "its old generation serving, is named with file and line, and the exit code is 4.\n\n"
     "  --allow                what reloads may reach more than before (M.allow); without it such\n"
     "                         a plugin is refused with the list of what is new, unless\n"
     "                         plugins.trust names it\n",
     "reload [NAME] [--allow]", cmd_reload},
    {"rollback", "serve a kept generation of a plugin instead of its folder",
     "Without a hash: the newest kept one that neither serves nor was rolled back. The last five\n"
     "that served are kept; `maru plugins show NAME` lists them. The folder is passed over until\n"
     "it changes, also by a restart; `maru reload NAME` takes it again at once. Migrations stay:\n"
     "an older plugin meets the database as it is.\n",
     "rollback NAME [HASH]", cmd_rollback},
    {"plugins", "list what serves: generation, state, memory, faults",
     "  maru plugins                   a line for each\n"
     "  maru plugins show NAME         one with its kept generations and what happened to it\n"
     "  maru plugins release NAME      load one anew that was held back for being killed too "
     "often\n"
     "  --json                         the admin API's answer as it is\n",
     "plugins [show NAME|release NAME] [--json]", cmd_plugins},
    {"jobs", "find jobs, look at one, change one or all that match, push one",
     "  maru jobs [list] [STATE]       the newest; of one state: ready, delayed, running, done,\n"
     "                                 cancelled, expired or dead\n"
     "  maru jobs show ID              one with its arguments, error, attempts and result\n"
     "  maru jobs retry ID…            dead ones run again, delayed ones now\n"
     "  maru jobs cancel ID…           waiting ones go, running ones are asked to end\n"
     "  maru jobs discard ID…          dead and waiting ones are forgotten\n"
     "  maru jobs push KIND [JSON]     one more of a kind such as shop.mail, with these "
     "arguments\n\n"
     "  --state, --queue, --kind NAME  only those\n"
     "  --search WORDS                 words that are in kind, arguments or error\n"
     "  --limit N                      of a list, 1 to 500 (50)\n"
     "  --all                          retry, cancel or discard all that match\n"
     "  --dry                          with --all: only count them\n"
     "  --json                         the admin API's answer as it is\n",
     "jobs [list | show ID | retry ID… | cancel ID… | discard ID… | push KIND [JSON]] [--all]",
     cmd_jobs},
    {"queues", "look at queues, pause and limit them",
     "  maru queues                    a line for each; oldest_s is how long the oldest waits\n"
     "  maru queues pause NAME         nothing of it starts; what runs goes on\n"
     "  maru queues resume NAME\n"
     "  maru queues limit NAME KEY=VALUE…   concurrency=4 rate=100/s weight=2 key_concurrency=1\n"
     "                                 key_rate=10/m; KEY= goes back to what plugins declare,\n"
     "                                 concurrency=0 is as many as there is room for\n"
     "  --json                         the admin API's answer as it is\n\n"
     "Changes hold until they are taken back, also after a restart.\n",
     "queues [pause NAME | resume NAME | limit NAME KEY=VALUE…] [--json]", cmd_queues},
    {"workers", "what every lane runs now, and since when",
     "  --json                         the admin API's answer as it is\n", "workers [--json]",
     cmd_workers},
    {"schedules", "look at schedules, pause and run them",
     "  maru schedules                 a line for each\n"
     "  maru schedules show NAME       one with its next five runs, and how many were not fired\n"
     "  maru schedules pause NAME      it fires no more, also after a restart\n"
     "  maru schedules resume NAME     it fires again; what was due meanwhile is not made up for\n"
     "  maru schedules run NAME        once now, beside its pattern\n"
     "  --json                         the admin API's answer as it is\n\n"
     "NAME is PLUGIN/ID; the id is the pattern where the plugin gives none.\n",
     "schedules [show NAME | pause NAME | resume NAME | run NAME] [--json]", cmd_schedules},
    {"logs", "print the newest lines of the log, or look for some",
     "  maru logs                      the newest, from memory\n"
     "  maru logs --search '맛집 -debug' --since 1h\n"
     "                                 those with these words; needs logs.search = true\n\n"
     "  --search WORDS                 words, \"phrases\", begin*, -not, OR; in message and "
     "fields\n"
     "  --since TIME                   not older than 30m, 2h, 7d\n"
     "  --level LEVEL                  debug, info, warn, error: that and worse\n"
     "  --plugin NAME                  only of that one\n"
     "  --limit N                      so many lines\n"
     "  --json                         the admin API's answer as it is\n",
     "logs [--search WORDS] [--since TIME] [--level LEVEL] [--plugin NAME]", cmd_logs},
    {"workflows", "look at runs of workflows, cancel them, tell them what they wait for",
     "  maru workflows [list [STATE]]  a line for each run: running, waiting, done, failed, "
     "cancelled\n"
     "  maru workflows show ID         one with its steps\n"
     "  maru workflows cancel ID       it is over, and its jobs are cancelled\n"
     "  maru workflows retry ID        a failed one goes on: its failed step runs again\n"
     "  maru workflows signal ID NAME [JSON]\n"
     "                                 what a step waits for; kept when none waits for it yet\n"
     "  --json                         the admin API's answer as it is\n",
     "workflows [list [STATE] | show ID | cancel ID | retry ID | signal ID NAME [JSON]] "
     "[--json]",
     cmd_workflows},
    {"cache", "look at what plugins keep in the cache, delete an entry",
     "  maru cache                     driver, entries, memory, hits and misses\n"
     "  maru cache keys [PATTERN]      entries whose PLUGIN:KEY begins so, or matches with * ? "
     "[a-z];\n"
     "                                 found step by step, never by KEYS\n"
     "  maru cache get PLUGIN:KEY      one with its value; who is shown it stands in the audit "
     "table\n"
     "  maru cache delete PLUGIN:KEY   it is gone, and that stands there too\n\n"
     "  --plugin NAME                  of keys: only that one's; PATTERN is then of its keys\n"
     "  --limit N                      of keys, 1 to 500 (100)\n"
     "  --json                         the admin API's answer as it is\n",
     "cache [keys [PATTERN] | get PLUGIN:KEY | delete PLUGIN:KEY] [--plugin NAME] [--json]",
     cmd_cache},
    {"events", "look at topics of events and who hears them, hand events over again",
     "  maru events                    topics, and how far each plugin is in those it hears\n"
     "  maru events read TOPIC [AFTER] what lies there, from the first or behind an offset or "
     "cursor\n"
     "  maru events find TOPIC         the newest, or with --search those with this text in key, "
     "headers or data\n"
     "  maru events replay TOPIC PLUGIN [AFTER]\n"
     "                                 those events once more to this plugin, as jobs; of "
     "TOPIC.dead\n"
     "                                 the ones that it could not handle\n\n"
     "  --search TEXT, --since TIME    of find: a text, not older than 30m, 2h, 7d\n"
     "  --limit N                      of read, 1 to 1000 (50), of find to 500 (20)\n"
     "  --json                         the admin API's answer as it is\n",
     "events [topics | read TOPIC [AFTER] | find TOPIC | replay TOPIC PLUGIN [AFTER]] [--json]",
     cmd_events},
    {"drivers", "which servers behind drivers answer, since when, and what they said",
     "Exits with 1 while one is down that this server is not ready without.  A driver that is\n"
     "embedded reaches no server and is not listed.\n\n"
     "  --json                 the admin API's answer as it is\n",
     "drivers [--json]", cmd_drivers},
    {"nodes", "the servers that share the queue: roles, lanes, drivers, who leads, who is missing",
     "`leads` is where schedules fire; `drivers` names those that do not answer there.\n\n"
     "  --json                 the admin API's answer as it is\n",
     "nodes [--json]", cmd_nodes},
    {"new", "write a small working plugin and its spec",
     "Writes NAME/ into the first folder of plugins.path: plugin.lua, a migration, a spec that\n"
     "passes, and what editors and luacheck read. NAME is [a-z][a-z0-9_]*; what is there is never\n"
     "overwritten.  Without an option: a route, a table and a job.\n\n"
     "  --route                a route with its table\n"
     "  --job                  a job and its schedule\n"
     "  --socket               a WebSocket that everybody hears\n"
     "  --page                 a page in the dashboard\n",
     "new plugin NAME [--route] [--job] [--socket] [--page]", cmd_new},
    {"model", "what a model file is, how fast it is here, the same one smaller",
     "A model file is a safetensors file that says what it is (docs/models.md).  What is wrong\n"
     "with one is told by its field or tensor.\n\n"
     "  maru model inspect FILE        its net, window, horizon, quantiles and tensors; --json:\n"
     "                                 what it says of itself, training and scores included\n"
     "  maru model bench FILE          forecasts of 1, 32 and 256 series by one thread\n"
     "  maru model quantize FILE bf16|int8 NEW [SERIES]\n"
     "                                 writes NEW with smaller weights, and tells how far its\n"
     "                                 forecasts are off, on SERIES (numbers, one a line or a\n"
     "                                 JSON array) or on a series that is made up\n\n"
     "  --json                         of inspect and bench: JSON\n",
     "model inspect FILE | bench FILE | quantize FILE bf16|int8 NEW [SERIES]", cmd_model},
    {"types", "print the types of everything a plugin can call, for editors",
     "The text of maru.d.lua; `maru new` and `maru check` keep a copy in plugins/.maru.\n\n"
     "  --json                 what is registered in this program instead\n",
     "types [--json]", cmd_types},
    {"admin-url", "print the link to the operations page",
     "Asks the running server; it needs admin.listen.  The link carries the token of "
     "state.dir/admin.token.\n\n"
     "  --viewer               a link that may look, but change nothing (viewer.token)\n",
     "admin-url [--viewer]", cmd_admin_url},
    {"config", "print every key of the configuration: its default, or what was set, and where",
     "The output is a configuration file: what nobody set stands there as a comment with its\n"
     "default, what somebody set with its value and who did.  Secrets are ***, as are passwords\n"
     "in addresses; of plugins' settings only the names are shown.\n",
     "config", cmd_config},
    {"version", "print the version", "", "version", cmd_version},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

int cli_fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("maru: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return code;
}

const char *cli_config_path(const struct cli_options *o)
{
    const char *env = getenv("MARU_CONFIG");
    if (o->config_path)
        return o->config_path;
    if (env && *env)
        return env;
    return access("maru.lua", R_OK) ? NULL : "maru.lua";
}

struct config *cli_config(const struct cli_options *o)
{
    struct err err = {0};
    struct config *config = config_load(cli_config_path(o), o->sets, o->set_count, &err);
    if (!config)
        cli_fail(EXIT_CONFIG, "%s", err.message);
    return config;
}

static void print_help(FILE *out)
{
    fputs("maru -- one program that serves Lua plugins: HTTP, jobs, schedules, time series.\n\n"
          "Usage: maru COMMAND [OPTIONS]\n\nCommands\n",
          out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-16.*s %s\n", (int)strcspn(commands[i].usage, "["), commands[i].usage,
                commands[i].summary);
    fprintf(out, "\n%s\n%s", options_help, exit_codes_help);
}

static int print_command_help(const struct cli_command *command)
{
    printf("maru %s -- %s\n\nUsage: maru %s [OPTIONS]\n\n%s\n%s\n%s", command->name,
           command->summary, command->usage, command->help, options_help, exit_codes_help);
    return EXIT_OK;
}

static const struct cli_command *find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++) {
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    }
    return NULL;
}

enum {
    OPTION_DEMO = 256,
    OPTION_TOLERATE,
    OPTION_JSON,
    OPTION_PLAN,
    OPTION_STRICT,
    OPTION_ROUTE,
    OPTION_JOB,
    OPTION_SOCKET,
    OPTION_PAGE,
    OPTION_ALLOW,
    OPTION_RELOAD,
    OPTION_RECORD,
    OPTION_FILTER,
    OPTION_OUTPUT,
    OPTION_VIEWER,
    OPTION_ALL,
    OPTION_DRY,
    OPTION_STATE,
    OPTION_QUEUE,
    OPTION_KIND,
    OPTION_SEARCH,
    OPTION_LIMIT,
    OPTION_SINCE,
    OPTION_LEVEL,
    OPTION_PLUGIN,
    OPTION_ROLES,
};

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"set", required_argument, NULL, 's'},
    {"help", no_argument, NULL, 'h'},
    {"demo", no_argument, NULL, OPTION_DEMO},
    {"json", no_argument, NULL, OPTION_JSON},
    {"plan", no_argument, NULL, OPTION_PLAN},
    {"strict", no_argument, NULL, OPTION_STRICT},
    {"route", no_argument, NULL, OPTION_ROUTE},
    {"job", no_argument, NULL, OPTION_JOB},
    {"socket", no_argument, NULL, OPTION_SOCKET},
    {"page", no_argument, NULL, OPTION_PAGE},
    {"allow", no_argument, NULL, OPTION_ALLOW},
    {"reload", no_argument, NULL, OPTION_RELOAD},
    {"record", no_argument, NULL, OPTION_RECORD},
    {"viewer", no_argument, NULL, OPTION_VIEWER},
    {"all", no_argument, NULL, OPTION_ALL},
    {"dry", no_argument, NULL, OPTION_DRY},
    {"state", required_argument, NULL, OPTION_STATE},
    {"queue", required_argument, NULL, OPTION_QUEUE},
    {"kind", required_argument, NULL, OPTION_KIND},
    {"search", required_argument, NULL, OPTION_SEARCH},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"since", required_argument, NULL, OPTION_SINCE},
    {"level", required_argument, NULL, OPTION_LEVEL},
    {"plugin", required_argument, NULL, OPTION_PLUGIN},
    {"filter", required_argument, NULL, OPTION_FILTER},
    {"output", required_argument, NULL, OPTION_OUTPUT},
    {"tolerate", required_argument, NULL, OPTION_TOLERATE},
    {"roles", required_argument, NULL, OPTION_ROLES},
    {NULL, 0, NULL, 0},
};

/* --tolerate a --tolerate b → plugins.tolerate=a,b */
static const char *tolerate(char *list, size_t size, const char *name)
{
    size_t n = strlen(list);
    snprintf(list + n, size - n, "%s%s", n ? "," : "plugins.tolerate=", name);
    return list;
}

/* Options that are either given or not. */
static void set_flag(struct cli_options *o, int option)
{
    struct {
        int option;
        bool *flag;
    } flags[] = {
        {OPTION_DEMO, &o->demo},     {OPTION_JSON, &o->json},   {OPTION_PLAN, &o->plan},
        {OPTION_STRICT, &o->strict}, {OPTION_ROUTE, &o->route}, {OPTION_JOB, &o->job},
        {OPTION_SOCKET, &o->socket}, {OPTION_PAGE, &o->page},   {OPTION_RELOAD, &o->reload},
        {OPTION_RECORD, &o->record}, {OPTION_ALLOW, &o->allow}, {OPTION_VIEWER, &o->viewer},
        {OPTION_ALL, &o->all},       {OPTION_DRY, &o->dry}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (flags[i].option == option)
            *flags[i].flag = true;
    }
}

/* Options with a text that is kept as it is; false: it is none of these. */
static bool set_text(struct cli_options *o, int option, const char *text)
{
    struct {
        int option;
        const char **text;
    } texts[] = {{OPTION_FILTER, &o->filter}, {OPTION_OUTPUT, &o->output},
                 {OPTION_STATE, &o->state},   {OPTION_QUEUE, &o->queue},
                 {OPTION_KIND, &o->kind},     {OPTION_SEARCH, &o->search},
                 {OPTION_LIMIT, &o->limit},   {OPTION_SINCE, &o->since},
                 {OPTION_LEVEL, &o->level},   {OPTION_PLUGIN, &o->plugin}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].option == option) {
            *texts[i].text = text;
            return true;
        }
    return false;
}

static int parse(int argc, char **argv, struct cli_options *o, bool *help)
{
    static char tolerated[2048], roles[256];
    for (int c; (c = getopt_long(argc, argv, "c:s:h", long_options, NULL)) != -1;) {
        bool full = o->set_count >= CLI_SETS - 2;
        if (c == '?')
            return EXIT_USAGE;
        if ((c == 's' || c == OPTION_TOLERATE) && full)
            return cli_fail(EXIT_USAGE, "at most %d values may be set", CLI_SETS - 2);
        if (c == 'c')
            o->config_path = optarg;
        else if (c == 's')
            o->sets[o->set_count++] = optarg;
        else if (c == 'h')
            *help = true;
        else if (c == OPTION_TOLERATE)
            tolerate(tolerated, sizeof tolerated, optarg);
        else if (c == OPTION_ROLES)
            snprintf(roles, sizeof roles, "roles=%s", optarg);
        else if (!set_text(o, c, optarg))
            set_flag(o, c);
    }
    if (*tolerated)
        o->sets[o->set_count++] = tolerated;
    if (*roles)
        o->sets[o->set_count++] = roles;
    o->words = argv + optind;
    o->word_count = argc - optind;
    return EXIT_OK;
}

int cli_main(int argc, char **argv)
{
    struct cli_options options = {.argv = argv};
    const char *name = argc > 1 ? argv[1] : "--help";
    bool help = false;
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_help(stdout);
        return argc > 1 ? EXIT_OK : EXIT_USAGE;
    }
    const struct cli_command *command = !strcmp(name, "--version") ? find("version") : find(name);
    if (!command)
        return cli_fail(EXIT_USAGE, "unknown command '%s'; `maru --help` lists them", name);
    /* getopt permutes its vector; the supervisor hands on the original one. */
    char **words = calloc((size_t)argc, sizeof *words);
    memcpy(words, argv + 1, (size_t)(argc - 1) * sizeof *words);
    int code = parse(argc - 1, words, &options, &help);
    if (code == EXIT_OK)
        code = help ? print_command_help(command) : command->run(&options);
    free(words);
    return code;
}
