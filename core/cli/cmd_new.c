/* cmd_new.c -- `maru new plugin NAME`: a small plugin that works, its spec, and what editors read.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "cli/author.h"
#include "cli/cli.h"
#include "config/config.h"
#include "vm/embedded.h"

#define SCAFFOLD "core/cli/scaffold/"

/* The parts of the plugin that were asked for. */
struct parts {
    const char *name;
    bool route, job, socket, page;
};

/* One file of the scaffold, written when one of the named parts is there ("" = always). */
static const struct {
    const char *text, *file; /* NAME in file stands for the plugin's name */
    const char *parts;
} files[] = {
    {"plugin.lua", "plugin.lua", ""},
    {"lines.sql", "migrations/0001_lines.sql", "route job"},
    {"page.js", "public/page.js", "page"},
    {"spec.lua", "spec/NAME_spec.lua", ""},
};

static bool has_part(const struct parts *parts, struct str word)
{
    const struct {
        const char *word;
        bool there;
    } known[] = {{"route", parts->route},
                 {"job", parts->job},
                 {"socket", parts->socket},
                 {"page", parts->page}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (str_eq_c(word, known[i].word))
            return known[i].there;
    }
    return false;
}

/* "route job": one of them is enough; "!route": it must not be there. */
static bool is_wanted(const struct parts *parts, struct str words)
{
    bool any = words.n == 0;
    while (words.n > 0) {
        struct str word = str_split(&words, ' ');
        bool negated = str_starts(word, STR("!"));
        any = any || has_part(parts, negated ? str_n(word.p + 1, word.n - 1) : word) != negated;
    }
    return any;
}

static void add_named(struct buf *out, struct str text, const char *name)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.n - i >= 4 && memcmp(text.p + i, "NAME", 4) == 0) {
            buf_add_c(out, name);
            i += 3;
        } else {
            buf_add_char(out, text.p[i]);
        }
    }
}

/* Whether the line only closes what others opened: nothing stands free before it. */
static bool is_closing(struct str line)
{
    struct str text = str_trim(line);
    return str_starts(text, STR("end")) || str_starts(text, STR("}"));
}

/* A blank line is kept back until something follows it that it may stand before. */
static void add_line(struct buf *out, struct str line, const char *name, bool *blank)
{
    if (line.n == 0) {
        *blank = true;
        return;
    }
    if (*blank && !is_closing(line))
        buf_add_char(out, '\n');
    *blank = false;
    add_named(out, line, name);
    buf_add_char(out, '\n');
}

/* Lines between "--@if WORDS" (or "//@if") and "--@end" stand only where the parts are; they nest.
 */
static void fill(struct str text, const struct parts *parts, struct buf *out)
{
    int depth = 0, hidden = 0; /* hidden: the depth at which the text is left out; 0 = it is not */
    bool blank = false;
    while (text.n > 0) {
        struct str line = str_split(&text, '\n');
        struct str mark = line.n > 2 ? str_n(line.p + 2, line.n - 2) : line;
        if (str_starts(mark, STR("@if "))) {
            depth++;
            if (!hidden && !is_wanted(parts, str_n(mark.p + 4, mark.n - 4)))
                hidden = depth;
        } else if (str_eq_c(mark, "@end")) {
            hidden = hidden == depth ? 0 : hidden;
            depth--;
        } else if (!hidden) {
            add_line(out, line, parts->name, &blank);
        }
    }
}

static bool write_one(const char *dir, const char *text, const char *file,
                      const struct parts *parts, struct err *err)
{
    struct buf path = {0}, bytes = {0};
    char *source = mem_printf(SCAFFOLD "%s", text);
    buf_printf(&path, "%s/", dir);
    add_named(&path, str_c(file), parts->name);
    char *folder = mem_strdup(path.p);
    *strrchr(folder, '/') = '\0';
    fill(embedded_text_find(source), parts, &bytes);
    bool ok = dir_make(folder, 0755, err) && file_write(path.p, buf_str(&bytes), 0644, err);
    if (ok)
        puts(path.p);
    mem_free(folder);
    mem_free(source);
    buf_free(&path);
    buf_free(&bytes);
    return ok;
}

static bool write_plugin(const char *plugins, const struct parts *parts, struct err *err)
{
    char *dir = mem_printf("%s/%s", plugins, parts->name);
    struct author author;
    bool ok = dir_make(dir, 0755, err);
    for (size_t i = 0; ok && i < sizeof files / sizeof *files; i++) {
        if (is_wanted(parts, str_c(files[i].parts)))
            ok = write_one(dir, files[i].text, files[i].file, parts, err);
    }
    ok = author_open(&author, err) && ok &&
         author_write(author.inspector, plugins, parts->name, err);
    author_close(&author);
    mem_free(dir);
    return ok;
}

static bool is_plugin_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[0] >= 'a' && name[0] <= 'z' && !name[n] && n < 64;
}

static struct parts parts_of(const struct cli_options *o)
{
    bool any = o->route || o->job || o->socket || o->page;
    return (struct parts){.name = o->words[1],
                          .route = o->route || !any,
                          .job = o->job || !any,
                          .socket = o->socket,
                          .page = o->page};
}

static int make(const char *plugins, const struct parts *parts)
{
    struct err err = {0};
    char *dir = mem_printf("%s/%s", plugins, parts->name);
    int code = EXIT_OK;
    if (!access(dir, F_OK))
        code = cli_fail(EXIT_FAILED, "%s is there already", dir);
    else if (!write_plugin(plugins, parts, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    else
        printf("next: maru check %s, maru test %s, maru serve\n", parts->name, parts->name);
    mem_free(dir);
    return code;
}

int cmd_new(const struct cli_options *o)
{
    if (o->word_count != 2 || strcmp(o->words[0], "plugin"))
        return cli_fail(EXIT_USAGE,
                        "usage: maru new plugin NAME [--route] [--job] [--socket] [--page]");
    if (!is_plugin_name(o->words[1]))
        return cli_fail(EXIT_USAGE, "a plugin's name is [a-z][a-z0-9_]*, not '%s'", o->words[1]);
    struct config *config = cli_config(o);
    if (!config)
        return EXIT_CONFIG;
    struct str paths = str_c(config_text(config, "plugins.path"));
    char *plugins = str_dup(str_split(&paths, ':'));
    struct parts parts = parts_of(o);
    int code = make(plugins, &parts);
    mem_free(plugins);
    config_free(config);
    return code;
}
