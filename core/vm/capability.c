#include "vm/capability.h"

#include <stdlib.h>

#include "base/mem.h"

/* ORDER capability_kind */
static const char *const words[] = {"net", "fs",    "env",  "exec", "call",
                                    "job", "event", "mail", "hear", "model"};
static const char *const keys[] = {"net",  "fs",     "env",  "exec", "exports",
                                   "jobs", "events", "mail", "on",   "model"};

const char *capability_key(enum capability_kind kind)
{
    return keys[kind];
}

/* -- making --------------------------------------------------------------------------------- */

void capability_add(struct capability_list *list, enum capability_kind kind, struct str entry,
                    const char *from)
{
    const char *colon = from ? strchr(from, ':') : NULL;
    struct capability c = {.kind = kind};
    c.text = mem_printf("%s %.*s", words[kind], (int)entry.n, entry.p);
    if (colon) {
        const char *private =
            kind == CAPABILITY_NET && str_starts(entry, STR("private:")) ? "private:" : "";
        c.reference = mem_printf("%s %sconfig%s", words[kind], private, colon);
        c.configured = str_starts(str_c(from), STR("config:"));
    }
    list->items = mem_realloc(list->items, (size_t)(list->count + 1) * sizeof *list->items);
    list->items[list->count++] = c;
}

static void free_item(struct capability *c)
{
    mem_free(c->text);
    mem_free(c->reference);
}

static int by_text(const void *a, const void *b)
{
    const struct capability *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    if (!order)
        order = strcmp(x->reference ? x->reference : "", y->reference ? y->reference : "");
    return order ? order : x->configured - y->configured;
}

void capability_sort(struct capability_list *list)
{
    int kept = 0;
    if (!list->count)
        return;
    qsort(list->items, (size_t)list->count, sizeof *list->items, by_text);
    for (int i = 1; i < list->count; i++) {
        if (by_text(&list->items[kept], &list->items[i]) == 0)
            free_item(&list->items[i]);
        else
            list->items[++kept] = list->items[i];
    }
    list->count = kept + 1;
}

void capability_list(const struct plugin_decl *decl, struct capability_list *out)
{
    *out = (struct capability_list){0};
    for (enum capability_kind kind = 0; kind < CAPABILITY_KINDS; kind++) {
        const struct allow_decl *allow = &decl->allow[kind];
        for (int i = 0; i < allow->count; i++)
            capability_add(out, kind, str_c(allow->entries[i]), allow->from ? allow->from[i] : "");
    }
    capability_sort(out);
}

void capability_list_free(struct capability_list *list)
{
    for (int i = 0; i < list->count; i++)
        free_item(&list->items[i]);
    mem_free(list->items);
    *list = (struct capability_list){0};
}

/* -- keeping -------------------------------------------------------------------------------- */

/* Whether item i is the first with its text; a text may stand there once for each way it came. */
static bool is_first(const struct capability_list *list, int i)
{
    return i == 0 || strcmp(list->items[i - 1].text, list->items[i].text) != 0;
}

static bool is_named_before(const struct capability_list *list, int i)
{
    for (int k = 0; k < i; k++) {
        if (list->items[k].reference && !strcmp(list->items[k].reference, list->items[i].reference))
            return true;
    }
    return false;
}

void capability_print(const struct capability_list *list, struct buf *out)
{
    for (int i = 0; i < list->count; i++) {
        if (is_first(list, i))
            buf_printf(out, "%s\n", list->items[i].text);
    }
    for (int i = 0; i < list->count; i++) {
        if (list->items[i].reference && !is_named_before(list, i))
            buf_printf(out, "%s\n", list->items[i].reference);
    }
}

void capability_read(struct str lines, struct capability_list *out)
{
    *out = (struct capability_list){0};
    while (lines.n) {
        struct str line = str_split(&lines, '\n');
        struct str word = str_split(&line, ' ');
        for (enum capability_kind kind = 0; kind < CAPABILITY_KINDS; kind++) {
            if (line.n && str_eq_c(word, words[kind]))
                capability_add(out, kind, line, NULL);
        }
    }
    capability_sort(out);
}

/* -- comparing ------------------------------------------------------------------------------ */

static void add_text(char ***list, int *count, const char *text)
{
    *list = mem_realloc(*list, (size_t)(*count + 1) * sizeof **list);
    (*list)[(*count)++] = mem_strdup(text);
}

static int next_text(const struct capability_list *list, int i)
{
    do
        i++;
    while (i < list->count && !is_first(list, i));
    return i;
}

void capability_compare(const struct capability_list *before, const struct capability_list *after,
                        struct capability_diff *out)
{
    int b = 0, a = 0;
    *out = (struct capability_diff){0};
    while (b < before->count || a < after->count) {
        int order = b == before->count  ? 1
                    : a == after->count ? -1
                                        : strcmp(before->items[b].text, after->items[a].text);
        if (order < 0)
            add_text(&out->removed, &out->removed_count, before->items[b].text);
        else if (order > 0)
            add_text(&out->added, &out->added_count, after->items[a].text);
        b = order <= 0 ? next_text(before, b) : b;
        a = order >= 0 ? next_text(after, a) : a;
    }
}

void capability_diff_free(struct capability_diff *diff)
{
    for (int i = 0; i < diff->added_count; i++)
        mem_free(diff->added[i]);
    for (int i = 0; i < diff->removed_count; i++)
        mem_free(diff->removed[i]);
    mem_free(diff->added);
    mem_free(diff->removed);
    *diff = (struct capability_diff){0};
}

bool capability_names(const struct allow_decl *allow, struct str plugin, struct str name)
{
    for (int i = 0; i < allow->count; i++) {
        struct str entry = str_c(allow->entries[i]);
        if (str_eq(str_split(&entry, '.'), plugin) && (str_eq_c(entry, "*") || str_eq(entry, name)))
            return true;
    }
    return false;
}

static struct str entry_of(const struct capability *c)
{
    struct str rest = str_c(c->text);
    str_split(&rest, ' ');
    return rest;
}

static bool ends_with(struct str s, struct str tail)
{
    return s.n > tail.n && str_eq(str_n(s.p + s.n - tail.n, tail.n), tail);
}

/* "*.host:443" covers "a.host:443"; a name that may lead to private addresses covers itself
 * without that. */
static bool covers_net(struct str wide, struct str narrow)
{
    struct str private = STR("private:");
    if (str_starts(wide, private)) {
        wide = str_n(wide.p + private.n, wide.n - private.n);
        if (str_starts(narrow, private))
            narrow = str_n(narrow.p + private.n, narrow.n - private.n);
    }
    if (str_eq(wide, narrow))
        return true;
    return str_starts(wide, STR("*.")) && !str_starts(narrow, private) &&
           ends_with(narrow, str_n(wide.p + 1, wide.n - 1));
}

static bool climbs(struct str path)
{
    while (path.n) {
        if (str_eq_c(str_split(&path, '/'), ".."))
            return true;
    }
    return false;
}

static bool covers_fs(struct str wide, struct str narrow)
{
    return wide.n && wide.p[wide.n - 1] == '/' && str_starts(narrow, wide) && !climbs(narrow);
}

/* "plugin.*", "prefix.*" */
static bool covers_other(struct str wide, struct str narrow)
{
    return ends_with(wide, STR(".*")) && str_starts(narrow, str_n(wide.p, wide.n - 1));
}

/* "*", "*@example.com" */
static bool covers_mail(struct str wide, struct str narrow)
{
    return wide.n && wide.p[0] == '*' && ends_with(narrow, str_n(wide.p + 1, wide.n - 1));
}

static bool covers(const struct capability *wide, const struct capability *narrow)
{
    struct str w = entry_of(wide), n = entry_of(narrow);
    if (wide->kind != narrow->kind)
        return false;
    return str_eq(w, n) || (wide->kind == CAPABILITY_NET && covers_net(w, n)) ||
           (wide->kind == CAPABILITY_FS && covers_fs(w, n)) ||
           ((wide->kind == CAPABILITY_CALL || wide->kind == CAPABILITY_JOB ||
             wide->kind == CAPABILITY_EVENT) &&
            covers_other(w, n)) ||
           (wide->kind == CAPABILITY_MAIL && covers_mail(w, n));
}

/* The accepted list is a declaration's, or lines that were kept: there references are texts. */
static bool is_accepted(const struct capability_list *accepted, const struct capability *c)
{
    for (int i = 0; i < accepted->count; i++) {
        const struct capability *a = &accepted->items[i];
        if (covers(a, c))
            return true;
        if (c->configured && (!strcmp(a->text, c->reference) ||
                              (a->reference && !strcmp(a->reference, c->reference))))
            return true;
    }
    return false;
}

bool capability_widens(const struct capability_list *accepted, const struct capability_list *now,
                       struct buf *out)
{
    const char *said = NULL; /* of two that came different ways one is said */
    for (int i = 0; i < now->count; i++) {
        const char *text = now->items[i].text;
        if (is_accepted(accepted, &now->items[i]) || (said && !strcmp(said, text)))
            continue;
        buf_printf(out, "%s%s", said ? ", " : "", text);
        said = text;
    }
    return said != NULL;
}
