#include "inherit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define INHERIT_VARIABLE "MARU_SERVER"

static void set_cloexec(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags >= 0)
        fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
}

static void export_group(struct buf *out, const char *name, const struct listen_group *g)
{
    buf_printf(out, "%s=%s,%d", name, g->count ? g->host : "-", g->port);
    for (int i = 0; i < g->count; i++) {
        buf_printf(out, ",%d", g->fds[i]);
        set_cloexec(g->fds[i], false);
    }
    buf_add_char(out, ';');
}

void inherit_export(const struct inherited *in)
{
    struct buf text = {0};
    buf_printf(&text, "control=%d;admin_unix=%d;crashes=%d;supervisor=%d;restart=%d;successor=%d;",
               in->control, in->admin_unix, in->crashes, in->supervisor, in->restart,
               in->successor);
    export_group(&text, "http", &in->http);
    export_group(&text, "https", &in->https);
    export_group(&text, "admin", &in->admin);
    set_cloexec(in->control, false);
    set_cloexec(in->admin_unix, false);
    setenv(INHERIT_VARIABLE, text.p, 1);
    buf_free(&text);
}

static int to_int(struct str s)
{
    long long n;
    return str_int64(s, &n) ? (int)n : -1;
}

static void import_group(struct str value, struct listen_group *out)
{
    struct str host = str_split(&value, ',');
    *out = (struct listen_group){0};
    snprintf(out->host, sizeof out->host, "%.*s", (int)host.n, host.p);
    out->port = to_int(str_split(&value, ','));
    while (value.n && out->count < LISTEN_LANES) {
        int fd = to_int(str_split(&value, ','));
        set_cloexec(fd, true);
        out->fds[out->count++] = fd;
    }
}

bool inherit_import(struct inherited *out)
{
    const char *text = getenv(INHERIT_VARIABLE);
    *out = (struct inherited){.control = -1, .admin_unix = -1};
    if (!text)
        return false;
    struct str rest = str_c(text);
    while (rest.n) {
        struct str value = str_split(&rest, ';');
        struct str name = str_split(&value, '=');
        if (str_eq_c(name, "http"))
            import_group(value, &out->http);
        else if (str_eq_c(name, "https"))
            import_group(value, &out->https);
        else if (str_eq_c(name, "admin"))
            import_group(value, &out->admin);
        else if (str_eq_c(name, "control"))
            out->control = to_int(value);
        else if (str_eq_c(name, "admin_unix"))
            out->admin_unix = to_int(value);
        else if (str_eq_c(name, "crashes"))
            out->crashes = to_int(value);
        else if (str_eq_c(name, "supervisor"))
            out->supervisor = to_int(value);
        else if (str_eq_c(name, "restart"))
            out->restart = to_int(value) > 0;
        else if (str_eq_c(name, "successor"))
            out->successor = to_int(value) > 0;
    }
    set_cloexec(out->control, true);
    set_cloexec(out->admin_unix, true);
    unsetenv(INHERIT_VARIABLE);
    return out->control >= 0;
}
