#include "reload/watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "loop/lane.h"

enum {
    WATCH_EVENTS = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                   IN_DELETE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK,
    WATCH_DEPTH = 8,
};

/* One watched folder: wd is its index in `folders`. */
struct folder {
    char *path;
    char *plugin; /* NULL for a plugin path itself: the entry's name is the plugin */
};

struct watch {
    struct lane *lane;
    uv_poll_t poll;
    int fd;
    struct folder *folders;
    int folder_count;
    struct map *changed; /* plugin name → itself */
    bool lost;
    struct timer quiet;
    watch_fn *fn;
    void *arg;
};

static void add_folder(struct watch *w, const char *path, const char *plugin, int depth);

static void add_children(struct watch *w, const char *path, const char *plugin, int depth)
{
    DIR *dir = depth < WATCH_DEPTH ? opendir(path) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_LNK))
            continue;
        char *child = mem_printf("%s/%s", path, e->d_name);
        add_folder(w, child, plugin ? plugin : e->d_name, depth + 1);
        mem_free(child);
    }
    if (dir)
        closedir(dir);
}

static void add_folder(struct watch *w, const char *path, const char *plugin, int depth)
{
    int wd = inotify_add_watch(w->fd, path, WATCH_EVENTS);
    if (wd < 0)
        return;
    if (wd >= w->folder_count) {
        w->folders = mem_realloc(w->folders, (size_t)(wd + 1) * sizeof *w->folders);
        memset(w->folders + w->folder_count, 0,
               (size_t)(wd + 1 - w->folder_count) * sizeof *w->folders);
        w->folder_count = wd + 1;
    }
    struct folder *f = &w->folders[wd];
    mem_free(f->path);
    mem_free(f->plugin);
    *f = (struct folder){mem_strdup(path), mem_strdup(plugin)};
    add_children(w, path, plugin, depth);
}

static void mark(struct watch *w, const char *plugin)
{
    if (!map_get(w->changed, str_c(plugin)))
        mem_free(map_set(w->changed, str_c(plugin), mem_strdup(plugin)));
    timer_start(w->lane, &w->quiet, WATCH_QUIET_MS * NS_PER_MS);
}

static void on_event(struct watch *w, const struct inotify_event *e)
{
    if (e->mask & IN_Q_OVERFLOW) {
        w->lost = true;
        timer_start(w->lane, &w->quiet, WATCH_QUIET_MS * NS_PER_MS);
        return;
    }
    struct folder *f = e->wd >= 0 && e->wd < w->folder_count ? &w->folders[e->wd] : NULL;
    if (!f || !f->path)
        return;
    const char *name = e->len ? e->name : "";
    const char *plugin = f->plugin ? f->plugin : name;
    if (e->mask & IN_IGNORED) {
        mem_free(f->path);
        mem_free(f->plugin);
        *f = (struct folder){0};
        return;
    }
    if (name[0] == '.' || !*plugin)
        return;                       /* an editor's temporary file */
    char *owner = mem_strdup(plugin); /* add_folder may move the folders */
    if ((e->mask & IN_ISDIR) && (e->mask & (IN_CREATE | IN_MOVED_TO))) {
        char *path = mem_printf("%s/%s", f->path, name);
        add_folder(w, path, owner, 1);
        mem_free(path);
    }
    mark(w, owner);
    mem_free(owner);
}

static void read_events(struct watch *w)
{
    _Alignas(struct inotify_event) char bytes[16384];
    ssize_t n;
    while ((n = read(w->fd, bytes, sizeof bytes)) > 0) {
        for (char *at = bytes; at < bytes + n;) {
            const struct inotify_event *e = (const void *)at;
            on_event(w, e);
            at += sizeof *e + e->len;
        }
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    read_events(poll->data);
}

/* Timers come before descriptors in a turn: an event may be there that is not read yet. */
static void on_quiet(struct timer *timer)
{
    struct watch *w = list_entry(timer, struct watch, quiet);
    read_events(w);
    if (w->quiet.node.slot) /* started again: it is not quiet */
        return;
    size_t count = map_count(w->changed), at = 0, n = 0;
    const char **names = mem_zero(count + 1, sizeof *names);
    struct map *changed = w->changed;
    struct str key;
    void *value;
    while (map_next(changed, &at, &key, &value))
        names[n++] = value;
    w->changed = map_create();
    bool lost = w->lost;
    w->lost = false;
    w->fn(lost ? NULL : names, w->arg);
    for (size_t i = 0; i < n; i++)
        mem_free((void *)names[i]);
    mem_free(names);
    map_destroy(changed);
}

struct watch *watch_start(struct lane *lane, const char *const *dirs, watch_fn *changed, void *arg,
                          struct err *err)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) {
        err_sys(err, errno, "watch: inotify");
        return NULL;
    }
    struct watch *w = mem_zero(1, sizeof *w);
    w->lane = lane;
    w->fd = fd;
    w->fn = changed;
    w->arg = arg;
    w->changed = map_create();
    w->quiet.fire = on_quiet;
    for (int i = 0; dirs[i]; i++)
        add_folder(w, dirs[i], NULL, 0);
    uv_poll_init(&lane->loop, &w->poll, fd);
    w->poll.data = w;
    uv_poll_start(&w->poll, UV_READABLE, on_readable);
    return w;
}

static void on_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void watch_stop(struct watch *w)
{
    if (!w)
        return;
    timer_stop(w->lane, &w->quiet);
    uv_poll_stop(&w->poll);
    close(w->fd);
    for (int i = 0; i < w->folder_count; i++) {
        mem_free(w->folders[i].path);
        mem_free(w->folders[i].plugin);
    }
    mem_free(w->folders);
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(w->changed, &at, &key, &value))
        mem_free(value);
    map_destroy(w->changed);
    uv_close((uv_handle_t *)&w->poll, on_closed);
}
