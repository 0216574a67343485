/* What a plugin declares: the right way into C, and every wrong way named. */
#include "vm/support.h"

static const char whole[] =
    "local function fn() end\n"
    "local M = { name = 'demo', version = '1.2.3', requires = { 'accounts', 'billing >= 1.2' } }\n"
    "M.config = { every = { type = 'string', default = '*/5 * * * *' }, base = 'string?', files = "
    "'string?',\n"
    "  tool = { type = 'string', default = '/usr/bin/env' },\n"
    "  size = { type = 'integer', default = 3, min = 1 }, key = { type = 'string', optional = "
    "true,\n"
    "  secret = true } }\n"
    "M.limits = { memory = '32M', task = '5s' }\n"
    "M.allow = { net = { 'API.example.com:443', '*.example.com:80', 'config:base',\n"
    "  'private:db.internal:8080', 'private:config:base' }, env = { 'A_B' },\n"
    "  fs = { '/srv/pages/', 'config:files' }, exec = { '/bin/true', 'config:tool' },\n"
    "  exports = { 'accounts.*', 'billing.total' } }\n"
    "M.series = { viewers = { keys = { 'id' }, values = { 'n1', 'n2' }, retention = '90d' } }\n"
    "M.routes = {\n"
    "  ['GET /a'] = fn,\n"
    "  ['POST /b/{id}'] = { summary = 'B', auth = 'user', rate = '60/m', max_body = '2M',\n"
    "    timeout = '3s', path = { id = 'integer(1,)' }, body = { text = 'string(1,280)' }, fn },\n"
    "  ['GET /c/{rest...}'] = { cache = '2s', query = { limit = 'integer(1,50)?' }, fn },\n"
    "}\n"
    "M.jobs = { plain = fn, big = { queue = 'low', priority = 'high', retries = 5, backoff = "
    "'1s',\n"
    "  timeout = '1m', concurrency = 2, fn } }\n"
    "M.cron = { ['config:every'] = { id = 'tick', fn }, ['0 4 * * *'] = { job = 'big', tz = "
    "'Asia/Seoul',\n"
    "  args = { n = 1 }, enabled = false, jitter = '5m', missed = 'all', missed_max = 7,\n"
    "  overlap = 'queue', deadline = '1h' }, ['@every 30s'] = fn }\n"
    "M.on = { ['review.created'] = fn }\n"
    "M.sockets = { ['/ws'] = { open = fn, message = fn } }\n"
    "M.pages = { { path = '/demo', title = { ko = '데모' }, module = 'page.js' } }\n"
    "M.exports = { zeta = fn, alpha = fn }\n"
    "M.start, M.health = fn, fn\n"
    "return M\n";

static const struct route_decl *find_route(const struct plugin_decl *d, const char *pattern)
{
    for (int i = 0; i < d->route_count; i++)
        if (strcmp(d->routes[i].pattern, pattern) == 0)
            return &d->routes[i];
    return NULL;
}

static const struct job_decl *find_job(const struct plugin_decl *d, const char *kind)
{
    for (int i = 0; i < d->job_count; i++)
        if (strcmp(d->jobs[i].kind, kind) == 0)
            return &d->jobs[i];
    return NULL;
}

static bool open_whole(struct fixture *f, const char *config)
{
    fixture_init(f);
    add_file(f, "plugin.lua", whole);
    add_file(f, "public/page.js", "export {}");
    if (fixture_load(f, config))
        return true;
    printf("# %s\n", f->err.message);
    return false;
}

TEST(reads_everything_a_plugin_can_declare)
{
    struct fixture f;
    REQUIRE(open_whole(
        &f,
        "{\"base\":\"https://Other.example.com/x\",\"every\":\"@hourly\",\"files\":\"a/b:c\"}"));
    const struct plugin_decl *d = f.decl;
    CHECK_STR(d->name, "demo");
    CHECK_STR(d->version, "1.2.3");
    CHECK_EQ(d->require_count, 2);
    CHECK_STR(d->requires[1], "billing >= 1.2");
    CHECK_EQ(d->memory_limit, 32 << 20);
    CHECK_EQ(d->task_ns, 5000000000);
    CHECK_EQ(d->allow[CAPABILITY_NET].count, 5);
    CHECK_STR(d->allow[CAPABILITY_NET].entries[2], "other.example.com:443");
    CHECK_STR(d->allow[CAPABILITY_NET].from[2], "config:base");
    CHECK_STR(d->allow[CAPABILITY_NET].entries[3], "private:db.internal:8080");
    CHECK_STR(d->allow[CAPABILITY_NET].from[3], "");
    CHECK_STR(d->allow[CAPABILITY_NET].entries[4], "private:other.example.com:443");
    CHECK_STR(d->allow[CAPABILITY_ENV].entries[0], "A_B");
    CHECK_EQ(d->allow[CAPABILITY_FS].count, 3);
    CHECK_STR(d->allow[CAPABILITY_FS].entries[1], "a/b");
    CHECK_EQ(d->allow[CAPABILITY_EXEC].count, 2);
    CHECK_STR(d->allow[CAPABILITY_EXEC].entries[1], "/usr/bin/env");
    CHECK_STR(d->allow[CAPABILITY_EXEC].from[1], "default:tool");
    CHECK_STR(d->allow[CAPABILITY_CALL].entries[1], "billing.total");
    CHECK_EQ(d->secret_count, 1);
    CHECK_STR(d->secrets[0], "key");
    CHECK_STR(d->series[0].values[1], "n2");
    CHECK_EQ(d->series[0].retention_ns, INT64_C(90) * 86400 * 1000000000);
    CHECK_STR(d->sockets[0].path, "/ws");
    CHECK_EQ(d->sockets[0].close, -1);
    CHECK_STR(d->pages[0].title_en, "데모");
    CHECK_STR(d->exports[0], "alpha");
    CHECK(d->start > 0 && d->health > 0 && d->stop == -1);
    CHECK_EQ(d->handler_count, 14);
    CHECK_EQ(strlen(d->handlers_hash), 32);
    fixture_close(&f);
}

TEST(reads_routes)
{
    struct fixture f;
    REQUIRE(open_whole(&f, ""));
    CHECK_EQ(f.decl->route_count, 3);
    const struct route_decl *b = find_route(f.decl, "/b/{id}");
    REQUIRE(b);
    CHECK_STR(b->method, "POST");
    CHECK_STR(b->auth, "user");
    CHECK(b->rate == 1 && b->rate_burst == 60);
    CHECK_EQ(b->max_body, 2 << 20);
    CHECK_EQ(b->timeout_ns, 3000000000);
    CHECK(strstr(b->operation_json, "\"maxLength\":280"));
    CHECK(strstr(b->operation_json, "\"name\":\"id\""));
    const struct route_decl *c = find_route(f.decl, "/c/{rest...}");
    REQUIRE(c);
    CHECK_EQ(c->cache_ns, 2000000000);
    CHECK_STR(find_route(f.decl, "/a")->auth, "none");
    CHECK(strstr(find_route(f.decl, "/a")->operation_json, "\"operationId\":\"demo.get_a\""));
    fixture_close(&f);
}

TEST(reads_jobs_and_what_becomes_one)
{
    struct fixture f;
    REQUIRE(open_whole(&f, ""));
    CHECK_EQ(f.decl->job_count, 5);
    const struct job_decl *big = find_job(f.decl, "demo.big");
    REQUIRE(big);
    CHECK_EQ(big->priority, 0);
    CHECK_EQ(big->retries, 5);
    CHECK_EQ(big->backoff_ns, 1000000000);
    CHECK_EQ(big->concurrency, 2);
    const struct job_decl *plain = find_job(f.decl, "demo.plain");
    REQUIRE(plain);
    CHECK_EQ(plain->retries, 3);
    CHECK_EQ(plain->timeout_ns, 5000000000);
    CHECK(find_job(f.decl, "demo.cron:tick") && find_job(f.decl, "demo.cron:@every 30s"));
    CHECK(find_job(f.decl, "demo.on:review.created"));
    CHECK_EQ(f.decl->schedule_count, 3);
    const struct schedule_decl *s = f.decl->schedules; /* sorted by key */
    CHECK_STR(s[0].kind, "demo.big");
    CHECK_STR(s[0].tz, "Asia/Seoul");
    CHECK_STR(s[0].args_json, "{\"n\":1}");
    CHECK(!s[0].enabled);
    CHECK_EQ(s[0].jitter_ns, 300000000000);
    CHECK_EQ(s[0].deadline_ns, 3600000000000);
    CHECK_EQ(s[0].missed, 2);
    CHECK_EQ(s[0].missed_max, 7);
    CHECK_EQ(s[0].overlap, 2);
    CHECK_EQ(s[2].missed + s[2].overlap + s[2].jitter_ns + s[2].deadline_ns, 0);
    CHECK_STR(s[2].id, "tick");
    CHECK_STR(s[2].pattern, "*/5 * * * *");
    CHECK_STR(f.decl->topics[0].topic, "review.created");
    fixture_close(&f);
}

TEST(numbers_handlers_the_same_in_every_vm)
{
    struct fixture f, g;
    REQUIRE(open_whole(&f, "") && open_whole(&g, ""));
    CHECK_STR(f.decl->handlers_hash, g.decl->handlers_hash);
    for (int i = 0; i < f.decl->route_count; i++)
        CHECK_EQ(f.decl->routes[i].handler, g.decl->routes[i].handler);
    fixture_close(&f);
    fixture_close(&g);
}

/* M.<wrong> after a good head; the message follows "plugins/demo/plugin.lua:". */
static const struct {
    const char *wrong, *message;
} wrongs[] = {
    {"M.name = 'other'", "1: name: must be the folder's name \"demo\", got \"other\""},
    {"M.version = '1'", "1: version: must be a version such as \"1.0.0\", got \"1\""},
    {"M.routs = {}", "3: routs: unknown field of a plugin; did you mean 'routes'?"},
    {"M.routes = { 'x' }", "3: routes: unexpected item 1: entries have names"},
    {"M.routes = { ['get /a'] = fn }",
     "3: routes[\"get /a\"]: a route is \"METHOD /path\" with GET"},
    {"M.routes = {\n['GET /a'] = {\ncache = 'soon', fn } }",
     "5: routes[\"GET /a\"].cache: must be a duration such as \"2s\", got \"soon\""},
    {"M.routes = { ['POST /a'] = { cache = '2s', fn } }", "only a GET route can be cached"},
    {"M.routes = { ['GET /a'] = { cash = '2s', fn } }",
     "routes[\"GET /a\"].cash: unknown route option; did you mean 'cache'?"},
    {"M.routes = { ['GET /a'] = { summary = 'x' } }", "needs a function(app, req), got nil"},
    {"M.routes = { ['GET /a'] = 5 }", "must be a function or a table, got number"},
    {"M.routes = { ['GET /a/{x}/{x}'] = fn }", "parameter {x} stands twice"},
    {"M.routes = { ['GET /a/x{y}'] = fn }", "'x{y}' is no path segment"},
    {"M.routes = { ['GET /{x...}/b'] = fn }", "nothing may follow {x...}"},
    {"M.routes = { ['GET /a'] = { path = { id = 'integer' }, fn } }",
     "routes[\"GET /a\"].path.id: the pattern has no {id}"},
    {"M.routes = { ['GET /a'] = { query = { n = 'integr' }, fn } }",
     "routes[\"GET /a\"].query.n: unknown type 'integr'; did you mean 'integer'?"},
    {"M.routes = { ['GET /a'] = { query = { n = 'integer(5)' }, fn } }",
     "'integer(5)' is not a field: write 'integer(least,most)' or 'integer'"},
    {"M.routes = { ['GET /a'] = { body = { n = 'any' }, fn } }", "body: a GET request has no body"},
    {"M.routes = { ['GET /a'] = { rate = 'often', fn } }",
     "rate: must be \"10/s\" or \"60/m\", got \"often\""},
    {"M.routes = { ['GET /a'] = { auth = 'root', fn } }",
     "auth: must be \"none\", \"user\" or \"admin\""},
    {"M.jobs = { Bad = fn }", "jobs.Bad: a job's name is [a-z][a-z0-9_]*"},
    {"M.jobs = { a = { retrys = 3, fn } }",
     "jobs.a.retrys: unknown job option; did you mean 'retries'?"},
    {"M.jobs = { a = { retries = 1.5, fn } }",
     "jobs.a.retries: must be a whole number from 0 to 1000, got 1.5"},
    {"M.jobs = { a = { priority = 'urgent', fn } }",
     "jobs.a.priority: must be \"high\", \"normal\" or \"low\""},
    {"M.jobs = { a = { batch = 1, fn } }",
     "jobs.a.batch: must be a whole number from 2 to 1024, got 1"},
    {"M.jobs = { a = { batch = 8, concurrency = 4, fn } }",
     "jobs.a.batch: must be at most the concurrency, which counts jobs, 4"},
    {"M.jobs = { a = { wait = '5ms', fn } }", "jobs.a.wait: is for jobs that say batch"},
    {"M.jobs = { a = { batch = 2, wait = '2m', fn } }", "jobs.a.wait: must be at most 60 seconds"},
    {"M.on = { a = { batch = 2, fn } }", "unknown option of M.on"},
    {"M.workflows = { a = { start = 'b', steps = { b = { batch = 2, fn } } } }",
     "b.batch: unknown"},
    {"M.jobs = { a = { timeout = {}, fn } }", "jobs.a.timeout: must be a duration"},
    {"M.cron = { ['* * * *'] = fn }", "'* * * *' is not a schedule"},
    {"M.cron = { ['@every soon'] = fn }", "'@every soon' needs a duration"},
    {"M.cron = { ['@hourly'] = { job = 'nothing' } }", "there is no job 'nothing' in M.jobs"},
    {"M.cron = { ['@hourly'] = {} }", "needs either a function or job = \"name\""},
    {"M.cron = { ['config:x'] = fn }", "config.x must be text with a schedule, it is nil"},
    {"M.cron = { ['@hourly'] = { id = 'a', fn }, ['@daily'] = { id = 'a', fn } }",
     "the id 'a' is also that of cron[\"@daily\"]"},
    {"M.cron = { ['* * * * * * *'] = fn }", "six with the second in front"},
    {"M.cron = { ['@hourly'] = { jitter = '500ms', fn } }", "whole seconds from 1s to 31d"},
    {"M.cron = { ['@hourly'] = { missed = 'some', fn } }",
     "missed: must be \"latest\", \"skip\" or \"all\", got \"some\""},
    {"M.cron = { ['@hourly'] = { overlap = 'kill', fn } }",
     "overlap: must be \"skip\", \"allow\", \"queue\" or \"cancel\", got \"kill\""},
    {"M.cron = { ['@hourly'] = { missed_max = 5, fn } }", "goes with missed = \"all\""},
    {"M.cron = { ['@hourly'] = { missed = 'all', missed_max = 0, fn } }",
     "must be a whole number from 1 to 1000, got 0"},
    {"M.cron = { ['@hourly'] = { jitter = '1m', deadline = '30s', fn } }",
     "deadline: must be longer than the jitter"},
    {"M.on = { topic = 5 }",
     "on.topic: must be a function(app, event), or a table with one, got number"},
    {"M.on = { ['a topic'] = fn }", "a topic is 1 to 95 letters, digits, _ . or -"},
    {"M.on = { topic = { fn, form = 'end' } }", "unknown option of M.on; did you mean 'from'?"},
    {"M.on = { topic = { fn, from = 'start' } }", "must be \"end\" or \"beginning\", got start"},
    {"M.allow = { events = { '*' } }", "a topic, or the beginning of topics"},
    {"M.allow = { events = { 'a*' } }", "must be \"topic\" or \"prefix.*\", got \"a*\""},
    {"M.sockets = { ws = { open = fn } }", "a socket's key is its path"},
    {"M.sockets = { ['/ws'] = { opened = fn } }", "unknown socket handler; did you mean 'open'?"},
    {"M.pages = { { path = '/x', title = { ko = 'x' }, module = 'none.js' } }",
     "pages[1].module: there is no file public/none.js"},
    {"M.pages = { { path = '/x', title = {}, module = 'page.js' } }",
     "pages[1].title: needs ko or en"},
    {"M.pages = { { title = { ko = 'x' }, module = 'page.js' } }", "pages[1].path: is required"},
    {"M.exports = { f = 5 }", "exports.f: must be a function, got number"},
    {"M.start = 5", "start: must be a function, got number"},
    {"M.limits = { memory = '1K' }", "limits.memory: must be a size of at least 4M"},
    {"M.limits = { taks = '1s' }", "limits.taks: unknown limit; did you mean 'task'?"},
    {"M.allow = { net = { 'example.com' } }",
     "allow.net[1]: must be \"host:port\", \"*.host:port\" or \"config:KEY\", got \"example.com\""},
    {"M.allow = { net = { 'config:bsae' } } M.config = { base = 'string?' }",
     "allow.net[1]: M.config has no 'bsae'; did you mean 'base'?"},
    {"M.allow = { fs = { 'config:x' } }", "allow.fs[1]: M.config has no 'x'"},
    {"M.allow = { env = { 'A-B' } }", "allow.env[1]: must be a variable's name, got \"A-B\""},
    {"M.allow = { nte = { 'a:1' } }", "allow.nte: unknown permission; did you mean 'net'?"},
    {"M.allow = 'all'", "allow: must be a table, got string"},
    {"M.allow = { net = { 'a:0' } }", "allow.net[1]: a port is from 1 to 65535, got 0"},
    {"M.allow = { net = { 'a:65536' } }", "allow.net[1]: a port is from 1 to 65535"},
    {"M.allow = { net = { '*:443' } }", "allow.net[1]: must be \"host:port\""},
    {"M.allow = { net = { '*a.com:443' } }", "allow.net[1]: must be \"host:port\""},
    {"M.allow = { net = { 'a..com:443' } }",
     "allow.net[1]: the host of \"a..com:443\" has an empty"},
    {"M.allow = { net = { 'a.com.:443' } }",
     "allow.net[1]: the host of \"a.com.:443\" has an empty"},
    {"M.allow = { net = { '2130706433:80' } }", "allow.net[1]: an address is written like"},
    {"M.allow = { net = { '0x7f.1:80' } }", "allow.net[1]: an address is written like"},
    {"M.allow = { net = { '0177.0.0.01:80' } }", "allow.net[1]: an address is written like"},
    {"M.allow = { net = { '*.0.0.1:80' } }", "allow.net[1]: an address is written like"},
    {"M.allow = { net = { 'http://a:80' } }", "allow.net[1]: must be \"host:port\""},
    {"M.allow = { net = { 'b\u00fccher.example:80' } }", "allow.net[1]: must be \"host:port\""},
    {"M.allow = { fs = { 'pages/' } }", "allow.fs[1]: must be an absolute path or \"config:KEY\""},
    {"M.allow = { fs = { '/srv/../etc/' } }", "allow.fs[1]: a path has no \".\" and \"..\" in it"},
    {"M.allow = { exec = { 'true' } }", "allow.exec[1]: must be an absolute path"},
    {"M.allow = { exec = { '/bin/' } }", "allow.exec[1]: must be a program, not a folder"},
    {"M.allow = { exec = { '/bin/a\\nb' } }", "allow.exec[1]: a path has no control characters"},
    {"M.allow = { exec = { 'config:t' } } M.config = { t = { type = 'string', default = 'true' } }",
     "allow.exec[1]: must be an absolute path"},
    {"M.allow = { exports = { 'base' } } M.requires = { 'base' }",
     "allow.exports[1]: must be \"plugin.fn\" or \"plugin.*\", got \"base\""},
    {"M.allow = { exports = { 'base.f*' } } M.requires = { 'base' }",
     "allow.exports[1]: must be \"plugin.fn\" or \"plugin.*\", got \"base.f*\""},
    {"M.allow = { exports = { 'bsae.f' } } M.requires = { 'base' }",
     "allow.exports[1]: 'bsae' is not in this plugin's requires; did you mean 'base'?"},
    {"M.allow = { exports = { 'demo.f' } }", "allow.exports[1]: a plugin may call what it exports"},
    {"M.series = { v = { keys = { 'at' }, values = { 'n1' } } }",
     "series.v.keys[1]: the column 'at' is taken"},
    {"M.series = { v = { keys = {}, values = {} } }", "series.v.values: needs at least one column"},
    {"M.config = { n = { type = 'integer', default = 'x' } }",
     "config.n.default: must be a whole number"},
    {"M.config = { n = { type = 'integer', mni = 1 } }",
     "config.n.mni: unknown option of a field of type integer; did you mean 'min'?"},
    {"M.config = { n = { type = 'string', pattern = '[' } }",
     "config.n.pattern: malformed pattern"},
    {"M.requires = { 'A' }", "requires[1]: must be a plugin's name, got \"A\""},
    {"M = nil", " must return a table, got nil"},
    {"setmetatable(M, { __index = function() end })",
     "plugin.lua: must return a plain table, without a metatable"},
    {"M.routes = setmetatable({}, { __index = { ['GET /a'] = fn } })",
     "3: routes: must be a plain table, without a metatable"},
    {"M.jobs = { a = setmetatable({ fn }, { __metatable = false }) }",
     "jobs.a: must be a plain table, without a metatable"},
    {"local list = setmetatable({ 'x' }, { __metatable = 'array' })\n"
     "M.config = { c = { type = 'array', items = 'string', default = list } }",
     "config.c.default: must be a plain table, without a metatable"},
};

TEST(names_every_wrong_declaration)
{
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        char *text = mem_printf("local M = { name = 'demo', version = '1.0.0' }\n"
                                "local function fn() end\n%s\nreturn M\n",
                                wrongs[i].wrong);
        struct fixture f;
        fixture_init(&f);
        add_file(&f, "plugin.lua", text);
        add_file(&f, "public/page.js", "export {}");
        if (fixture_load(&f, ""))
            TEST_FAIL("accepts %s", wrongs[i].wrong);
        else if (!strstr(f.err.message, wrongs[i].message) ||
                 strncmp(f.err.message, "plugins/demo/plugin.lua:", 24) != 0)
            TEST_FAIL("%s: %s", wrongs[i].wrong, f.err.message);
        fixture_close(&f);
        mem_free(text);
    }
}

TEST(names_wrong_configuration_by_its_key)
{
    static const struct {
        const char *config, *message;
    } cases[] = {
        {"{\"size\":0}", "plugins.demo.size: must be a whole number of at least 1"},
        {"{\"sise\":5}", "plugins.demo.sise: unknown field; did you mean 'size'?"},
        {"{\"size\":\"x\",\"base\":5}",
         "plugins.demo.base: must be text\nplugins.demo.size: must be"},
        {"{\"every\":\"nonsense\"}", "cron[\"config:every\"]: 'nonsense' is not a schedule"},
        {"{\"base\":\"nonsense\"}", "allow.net[3]: 'nonsense' is not a URL"},
        {"[", "plugins.demo: line 1 column 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        fixture_init(&f);
        add_file(&f, "plugin.lua", whole);
        add_file(&f, "public/page.js", "export {}");
        CHECK(!fixture_load(&f, cases[i].config));
        if (!strstr(f.err.message, cases[i].message))
            TEST_FAIL("%s: %s", cases[i].config, f.err.message);
        fixture_close(&f);
    }
}

TEST(gives_configuration_with_defaults)
{
    struct fixture f;
    fixture_init(&f);
    add_file(
        &f, "plugin.lua",
        "return { name = 'demo', version = '1.0.0', config = { a = { type = 'integer', default = 1 "
        "},\n"
        "b = 'string?', e = { type = 'array', items = 'string',\n"
        "default = require('maru.json').array({}) }, c = { type = 'array', items = 'string', "
        "default = { 'x' } }, d = "
        "'boolean?' "
        "},\n"
        "exports = { f = function(app) return app.config end } }");
    REQUIRE(fixture_load(&f, "{\"b\":\"text\",\"d\":\"true\"}"));
    struct run run = call(&f, "f");
    CHECK(strstr(run.json, "\"a\":1"));
    CHECK(strstr(run.json, "\"b\":\"text\""));
    CHECK(strstr(run.json, "\"c\":[\"x\"]"));
    CHECK(strstr(run.json, "\"d\":true"));
    CHECK(strstr(run.json, "\"e\":[]"));
    fixture_close(&f);
}
