/* cmd_events.c -- maru events: topics, groups, what lies in a topic, and handing it over again. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "cli/flat.h"

static int count_of(const struct flat *f, const char *prefix, int i)
{
    int n = 0;
    while (flat_get(f, "%s.%d.partitions.%d.partition", prefix, i, n))
        n++;
    return n;
}

static void print_topics(const struct flat *f)
{
    static const char *const groups[] = {"group", "topic", "lag", "serving", NULL};
    const char *topic;
    printf("%-40s %10s %12s\n", "topic", "partitions", "events");
    for (int i = 0; (topic = flat_get(f, "topics.%d.topic", i)); i++)
        printf("%-40s %10d %12s\n", topic, count_of(f, "topics", i),
               flat_get(f, "topics.%d.events", i));
    putchar('\n');
    flat_print_table(f, "groups", groups);
}

static char *path_of(const struct cli_options *o, const char *tail)
{
    struct buf path = {0};
    buf_add_c(&path, "/events/");
    cli_add_encoded(&path, o->words[1]);
    buf_add_c(&path, tail);
    return buf_take(&path, NULL);
}

static void print_events(const struct flat *f)
{
    static const char *const columns[] = {"partition",     "offset",        "at", "from", "key",
                                          "headers.group", "headers.error", NULL};
    flat_print_table(f, "events", columns);
    const char *next = flat_get(f, "next");
    if (next)
        printf("\nthe next begin behind %s\n", next);
}

static int read_topic(const struct cli_options *o)
{
    struct buf query = {0};
    buf_printf(&query, "?limit=%s", o->limit ? o->limit : "50");
    if (o->word_count > 2) {
        buf_add_c(&query, "&after=");
        cli_add_encoded(&query, o->words[2]);
    }
    char *path = path_of(o, query.p);
    int code = cli_look(o, path, print_events);
    mem_free(path);
    buf_free(&query);
    return code;
}

static void add(struct buf *query, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(query, "&%s=", name);
    cli_add_encoded(query, value);
}

/* What is below "events.I.NAME", as it is called there. */
static void print_part(const struct flat *f, int i, const char *name)
{
    char prefix[40];
    size_t skip = (size_t)snprintf(prefix, sizeof prefix, "events.%d.", i), n;
    n = skip + strlen(name);
    snprintf(prefix + skip, sizeof prefix - skip, "%s", name);
    for (int k = 0; k < f->count; k++) {
        const struct flat_value *v = &f->values[k];
        if (!strncmp(v->path, prefix, n) && (v->path[n] == '.' || !v->path[n]))
            printf("    %-20s %s\n", v->path + skip, v->text);
    }
}

static void print_found(const struct flat *f)
{
    const char *at;
    for (int i = 0; (at = flat_get(f, "events.%d.at", i)); i++) {
        const char *key = flat_get(f, "events.%d.key", i);
        char time[32];
        clock_format_utc((int64_t)(strtod(at, NULL) * 1000 + 0.5) * NS_PER_MS, time);
        printf("%s  %s:%s  %s\n", time, flat_get(f, "events.%d.partition", i),
               flat_get(f, "events.%d.offset", i), key ? key : "");
        print_part(f, i, "headers");
        print_part(f, i, "data");
    }
    if (strcmp(flat_get(f, "end"), "true") != 0)
        printf("\nthere are more; --limit N shows N, --since and --search fewer\n");
}

static int find(const struct cli_options *o)
{
    struct buf query = {0};
    buf_printf(&query, "/browse?limit=%s", o->limit ? o->limit : "20");
    add(&query, "q", o->search);
    add(&query, "since", o->since);
    char *path = path_of(o, query.p);
    int code = cli_look(o, path, print_found);
    mem_free(path);
    buf_free(&query);
    return code;
}

/* One request; *next is the cursor behind it, NULL at the end. */
static int replay_some(const struct cli_options *o, const char *path, const char *after,
                       long long *total, char **next)
{
    struct buf content = {0}, body = {0};
    struct flat answer = {0};
    struct err err = {0};
    struct json w = json_to(&content);
    int status;
    json_open(&w, '{');
    json_key(&w, "group");
    json_cstr(&w, o->words[2]);
    json_key(&w, "after");
    json_cstr(&w, after);
    json_key(&w, "limit");
    json_int(&w, 500);
    json_close(&w, '}');
    int code = cli_send(o, "POST", path, buf_str(&content), &body, &status);
    *next = NULL;
    if (status && !flat_read(buf_str(&body), &answer, &err))
        code = cli_fail(EXIT_FAILED, "%s", err.message);
    else if (status >= 400)
        code = cli_fail_by_problem(&answer, status);
    else if (status) {
        *total += atoll(flat_get(&answer, "replayed"));
        if (!strcmp(flat_get(&answer, "read"), "true"))
            *next = mem_strdup(flat_get(&answer, "next"));
    }
    flat_free(&answer);
    buf_free(&body);
    buf_free(&content);
    return code;
}

static int replay(const struct cli_options *o)
{
    char *path = path_of(o, "/replay");
    char *after = mem_strdup(o->word_count > 3 ? o->words[3] : ""), *next;
    long long total = 0;
    int code;
    do {
        code = replay_some(o, path, after, &total, &next);
        mem_free(after);
        after = next;
    } while (!code && next);
    mem_free(after);
    mem_free(path);
    if (!code)
        printf("%lld event%s handed to %s again\n", total, total == 1 ? "" : "s", o->words[2]);
    return code;
}

int cmd_events(const struct cli_options *o)
{
    const char *verb = o->word_count ? o->words[0] : "topics";
    if (!strcmp(verb, "topics") && o->word_count <= 1)
        return cli_look(o, "/events", print_topics);
    if (!strcmp(verb, "read") && (o->word_count == 2 || o->word_count == 3))
        return read_topic(o);
    if (!strcmp(verb, "find") && o->word_count == 2)
        return find(o);
    if (!strcmp(verb, "replay") && (o->word_count == 3 || o->word_count == 4))
        return replay(o);
    if (!strcmp(verb, "read") || !strcmp(verb, "replay"))
        return cli_fail(EXIT_USAGE, "events %s takes %s", verb,
                        verb[2] == 'a' ? "TOPIC [AFTER]" : "TOPIC PLUGIN [AFTER]");
    if (!strcmp(verb, "find"))
        return cli_fail(EXIT_USAGE, "events find takes TOPIC");
    return cli_fail(EXIT_USAGE, "events: topics, read, find or replay, not '%s'", verb);
}
