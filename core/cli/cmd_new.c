/* cmd_new.c -- `maru new plugin NAME`: a small plugin that works, and its spec. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "cli/cli.h"
#include "config/config.h"

/* NAME stands for the plugin's name. */
static const char plugin_text[] =
    "--- NAME: visitors leave a line, everybody reads the newest, old ones expire.\n"
    "local M = { name = \"NAME\", version = \"0.1.0\" }\n"
    "\n"
    "M.config = {\n"
    "  keep_days = { type = \"integer\", default = 30, min = 1, help = \"days a line is kept\" },\n"
    "}\n"
    "\n"
    "M.routes = {\n"
    "  [\"GET /api/NAME\"] = { summary = \"Newest lines\", function(app)\n"
    "    local lines = assert(app.store:all(\n"
    "      \"select id, text, at from NAME_lines order by id desc limit 50\"))\n"
    "    return 200, { lines = app.json.array(lines) }\n"
    "  end },\n"
    "\n"
    "  [\"POST /api/NAME\"] = { summary = \"Leave a line\", body = { text = \"string(1,280)\" },\n"
    "    function(app, req)\n"
    "      local line = assert(app.store:one(\n"
    "        \"insert into NAME_lines(text, at) values ($1, $2) returning id, text, at\",\n"
    "        req.body.text, app.now()))\n"
    "      app.channels:publish(\"NAME.lines\", line)\n"
    "      return 201, line\n"
    "    end },\n"
    "}\n"
    "\n"
    "M.jobs = {\n"
    "  expire = function(app)\n"
    "    local before = app.now() - app.config.keep_days * 86400\n"
    "    local gone = assert(app.store:exec(\"delete from NAME_lines where at < $1\", before))\n"
    "    app.log:info(\"lines expired\", { count = gone })\n"
    "  end,\n"
    "}\n"
    "\n"
    "M.cron = { [\"0 4 * * *\"] = { job = \"expire\" } }\n"
    "\n"
    "return M\n";

static const char migration_text[] = "create table NAME_lines (\n"
                                     "  -- sqlite:\n"
                                     "  id integer primary key,\n"
                                     "  -- postgres:\n"
                                     "  id bigint generated always as identity primary key,\n"
                                     "  -- all:\n"
                                     "  text text not null,\n"
                                     "  at double precision not null\n"
                                     ");\n";

static const char spec_text[] =
    "--- The handlers of NAME are plain functions; `app` is a table made here.\n"
    "--- Run with: busted --lua=luajit NAME/spec\n"
    "package.path = \"NAME/?.lua;\" .. package.path\n"
    "\n"
    "describe(\"NAME\", function()\n"
    "  local plugin = dofile(\"NAME/plugin.lua\")\n"
    "\n"
    "  it(\"answers with the newest lines\", function()\n"
    "    local app = {\n"
    "      store = { all = function() return { { id = 1, text = \"hello\", at = 0 } } end },\n"
    "      json = { array = function(t) return t end },\n"
    "    }\n"
    "    local status, body = plugin.routes[\"GET /api/NAME\"][1](app)\n"
    "    assert.equal(200, status)\n"
    "    assert.equal(\"hello\", body.lines[1].text)\n"
    "  end)\n"
    "end)\n";

static char *filled(const char *text, const char *name)
{
    struct buf out = {0};
    for (const char *hole; (hole = strstr(text, "NAME")); text = hole + 4) {
        buf_add(&out, text, (size_t)(hole - text));
        buf_add_c(&out, name);
    }
    buf_add_c(&out, text);
    return buf_take(&out, &(size_t){0});
}

static bool write_new(const char *dir, const char *file, const char *text, const char *name,
                      struct err *err)
{
    char *path = mem_printf("%s/%s", dir, file), *bytes = filled(text, name);
    bool ok = file_write(path, str_c(bytes), 0644, err);
    if (ok)
        printf("%s\n", path);
    mem_free(path);
    mem_free(bytes);
    return ok;
}

static bool write_plugin(const char *dir, const char *name, struct err *err)
{
    char *migrations = mem_printf("%s/migrations", dir), *spec = mem_printf("%s/spec", dir);
    char *spec_file = mem_printf("spec/%s_spec.lua", name);
    bool ok = dir_make(migrations, 0755, err) && dir_make(spec, 0755, err) &&
              write_new(dir, "plugin.lua", plugin_text, name, err) &&
              write_new(dir, "migrations/0001_lines.sql", migration_text, name, err) &&
              write_new(dir, spec_file, spec_text, name, err);
    mem_free(migrations);
    mem_free(spec);
    mem_free(spec_file);
    return ok;
}

static bool is_plugin_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[0] >= 'a' && name[0] <= 'z' && !name[n] && n < 64;
}

int cmd_new(const struct cli_options *o)
{
    struct err err = {0};
    if (o->word_count != 2 || strcmp(o->words[0], "plugin"))
        return cli_fail(EXIT_USAGE, "usage: maru new plugin NAME");
    const char *name = o->words[1];
    if (!is_plugin_name(name))
        return cli_fail(EXIT_USAGE, "a plugin's name is [a-z][a-z0-9_]*, not '%s'", name);
    struct config *config = cli_config(o);
    if (!config)
        return EXIT_CONFIG;
    struct str paths = str_c(config_text(config, "plugins.path"));
    struct str first = str_split(&paths, ':');
    char *dir = mem_printf("%.*s/%s", (int)first.n, first.p, name);
    int code = EXIT_OK;
    if (!access(dir, F_OK))
        code = cli_fail(EXIT_FAILED, "%s is there already", dir);
    else if (!write_plugin(dir, name, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    mem_free(dir);
    config_free(config);
    return code;
}
