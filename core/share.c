#include "share.h"

#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

/* The folder of the program, without a '/' at its end. */
static char *program_dir(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    return mem_strdup(path);
}

char *share_find(const char *name)
{
    static const char *const between[] = {"/", "/../../", "/../share/maru/"};
    char *dir = program_dir(), *found = NULL;
    for (size_t i = 0; !found && i < sizeof between / sizeof *between; i++) {
        struct buf path = {0};
        buf_printf(&path, "%s%s%s", dir, between[i], name);
        if (!access(path.p, F_OK))
            found = mem_strdup(path.p);
        buf_free(&path);
    }
    mem_free(dir);
    return found;
}

char **share_plugin_dirs(const char *path)
{
    struct str rest = str_c(path);
    char **list = mem_zero(1, sizeof *list);
    size_t n = 0;
    while (rest.n) {
        struct str part = str_split(&rest, ':');
        if (!part.n)
            continue;
        char *dir = str_dup(part);
        char *found = dir[0] != '/' && access(dir, F_OK) ? share_find(dir) : NULL;
        if (found) {
            mem_free(dir);
            dir = found;
        }
        list = mem_realloc(list, (n + 2) * sizeof *list);
        list[n++] = dir;
        list[n] = NULL;
    }
    return list;
}
