/* secret.c -- values that stand in files of their own, as containers hand secrets over. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/sys.h"
#include "config/file.h"

void config_warn(struct config *config, char *text)
{
    size_t n = (size_t)config->warning_count;
    config->warnings = mem_realloc(config->warnings, (n + 1) * sizeof *config->warnings);
    config->warnings[config->warning_count++] = text;
}

static size_t without_end(struct str text)
{
    size_t n = text.n;
    n -= n > 0 && text.p[n - 1] == '\n';
    n -= n < text.n && n > 0 && text.p[n - 1] == '\r';
    return n;
}

bool config_secret(struct config *config, const char *path, struct buf *out, struct err *err)
{
    struct stat info;
    size_t from = out->n;
    if (stat(path, &info) != 0)
        return err_sys(err, errno, "%s", path);
    if (!S_ISREG(info.st_mode)) /* a pipe could keep the start waiting */
        return err_set(err, ERR_INVALID, "%s: is not a file", path);
    if (!file_read(path, SECRET_BYTES, out, err))
        return false;
    out->n = from + without_end(str_n(out->p + from, out->n - from));
    if (out->n == from)
        return err_set(err, ERR_INVALID, "%s: is empty", path);
    if (memchr(out->p + from, '\0', out->n - from))
        return err_set(err, ERR_INVALID, "%s: has a NUL in it", path);
    out->p[out->n] = '\0';
    /* There a container's maker decided, and nobody else is in it. */
    if (info.st_mode & S_IROTH && !str_starts(str_c(path), STR("/run/secrets/")))
        config_warn(config, mem_printf("%s holds a secret and everybody may read it (mode %03o)",
                                       path, (unsigned)info.st_mode & 0777u));
    return true;
}
