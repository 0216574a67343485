#include "listen.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct endpoint {
    struct sockaddr_storage addr;
    socklen_t len;
};

static bool split_address(struct str address, struct str *host, long long *port)
{
    size_t colon = address.n;
    while (colon > 0 && address.p[colon - 1] != ':')
        colon--;
    if (!colon || !str_int64(str_n(address.p + colon, address.n - colon), port))
        return false;
    *host = str_n(address.p, colon - 1);
    if (host->n > 1 && host->p[0] == '[' && host->p[host->n - 1] == ']')
        *host = str_n(host->p + 1, host->n - 2);
    return *port >= 0 && *port <= 65535;
}

static bool endpoint_parse(struct str address, struct endpoint *out, struct err *err)
{
    struct str host;
    long long port;
    char text[LISTEN_HOST_BYTES];
    if (!split_address(address, &host, &port) || host.n >= sizeof text)
        return err_set(err, ERR_INVALID, "'%.*s' is not an address like 127.0.0.1:8080 or [::1]:0",
                       (int)address.n, address.p);
    if (str_eq_c(host, "localhost"))
        host = STR("127.0.0.1");
    else if (!host.n || str_eq_c(host, "*"))
        host = STR("0.0.0.0");
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    memset(out, 0, sizeof *out);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->addr;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        out->len = sizeof *v4;
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        out->len = sizeof *v6;
    } else {
        return err_set(err, ERR_INVALID, "'%s' is not an IP address", text);
    }
    return true;
}

static int endpoint_port(const struct endpoint *e)
{
    return ntohs(e->addr.ss_family == AF_INET ? ((const struct sockaddr_in *)&e->addr)->sin_port
                                              : ((const struct sockaddr_in6 *)&e->addr)->sin6_port);
}

/* The inode of the listening socket on this port, from /proc/net/tcp{,6}; 0 = not found. */
static unsigned long socket_inode(const char *table, int port)
{
    FILE *f = fopen(table, "re");
    unsigned long inode = 0;
    char line[512];
    while (f && !inode && fgets(line, sizeof line, f)) {
        unsigned local = 0, state = 0;
        unsigned long found = 0;
        int n = sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu", &local,
                       &state, &found);
        enum { TCP_LISTENING = 0x0A };
        if (n == 3 && (int)local == port && state == TCP_LISTENING)
            inode = found;
    }
    if (f)
        fclose(f);
    return inode;
}

static bool process_has(const char *pid, const char *link_text)
{
    char path[300], target[64];
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *fds = opendir(path);
    bool found = false;
    for (struct dirent *e; fds && !found && (e = readdir(fds));) {
        ssize_t n = readlinkat(dirfd(fds), e->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        found = !strcmp(target, link_text);
    }
    if (fds)
        closedir(fds);
    return found;
}

/* Appends " by nginx (pid 17)" when the holder can be seen. */
static void name_holder(int port, struct err *err)
{
    unsigned long inode = socket_inode("/proc/net/tcp", port);
    if (!inode)
        inode = socket_inode("/proc/net/tcp6", port);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    DIR *proc = inode ? opendir("/proc") : NULL;
    for (struct dirent *e; proc && (e = readdir(proc));) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9' || !process_has(e->d_name, wanted))
            continue;
        char path[300], name[64] = "";
        snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
        FILE *f = fopen(path, "re");
        if (f && fgets(name, sizeof name, f))
            name[strcspn(name, "\n")] = 0;
        if (f)
            fclose(f);
        size_t n = strlen(err->message);
        snprintf(err->message + n, sizeof err->message - n, " by %s (pid %s)", name, e->d_name);
        break;
    }
    if (proc)
        closedir(proc);
}

static int open_bound(const struct endpoint *e, bool shared)
{
    int fd = socket(e->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (e->addr.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (!bind(fd, (const struct sockaddr *)&e->addr, e->len) && !listen(fd, LISTEN_BACKLOG))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* SO_REUSEADDR alone fails exactly when somebody listens there now. */
static bool port_is_free(const struct endpoint *e, struct str address, struct err *err)
{
    if (!endpoint_port(e))
        return true;
    int fd = open_bound(e, false);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    if (errno != EADDRINUSE)
        return err_sys(err, errno, "listen on %.*s", (int)address.n, address.p);
    err_set(err, ERR_EXISTS, "%.*s is in use", (int)address.n, address.p);
    name_holder(endpoint_port(e), err);
    return false;
}

bool listen_tcp(struct str address, int count, struct listen_group *out, struct err *err)
{
    struct endpoint e;
    *out = (struct listen_group){0};
    if (!endpoint_parse(address, &e, err) || !port_is_free(&e, address, err))
        return false;
    while (out->count < count && out->count < LISTEN_LANES) {
        int fd = open_bound(&e, true);
        if (fd < 0) {
            err_sys(err, errno, "listen on %.*s", (int)address.n, address.p);
            listen_close(out);
            return false;
        }
        out->fds[out->count++] = fd;
        if (getsockname(fd, (struct sockaddr *)&e.addr, &e.len) < 0)
            return err_sys(err, errno, "getsockname");
    }
    char text[INET6_ADDRSTRLEN];
    if (e.addr.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)&e.addr)->sin_addr, text, sizeof text);
        snprintf(out->host, sizeof out->host, "%s", strcmp(text, "0.0.0.0") ? text : "127.0.0.1");
    } else {
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&e.addr)->sin6_addr, text, sizeof text);
        snprintf(out->host, sizeof out->host, "[%s]", strcmp(text, "::") ? text : "::1");
    }
    out->port = endpoint_port(&e);
    return true;
}

void listen_close(struct listen_group *group)
{
    for (int i = 0; i < group->count; i++)
        close(group->fds[i]);
    group->count = 0;
}

/* A socket address holds 107 bytes; a path through the directory's descriptor always fits. */
static int unix_address(const char *dir, const char *name, struct sockaddr_un *addr,
                        struct err *err)
{
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        int error = errno;
        err_sys(err, error, "%s", dir);
        if (error == ENOENT)
            err->code = ERR_NOT_FOUND;
        return -1;
    }
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(addr->sun_path, sizeof addr->sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
    return dir_fd;
}

int listen_unix(const char *dir, const char *name, struct err *err)
{
    struct sockaddr_un addr;
    int dir_fd = unix_address(dir, name, &addr, err);
    if (dir_fd < 0)
        return -1;
    unlinkat(dir_fd, name, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t mask = umask(0177);
    bool bound = fd >= 0 && !bind(fd, (struct sockaddr *)&addr, sizeof addr);
    umask(mask);
    if (!bound || listen(fd, LISTEN_BACKLOG) < 0) {
        err_sys(err, errno, "listen on %s/%s", dir, name);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    close(dir_fd);
    return fd;
}

int listen_connect_unix(const char *dir, const char *name, struct err *err)
{
    struct sockaddr_un addr;
    int dir_fd = unix_address(dir, name, &addr, err);
    if (dir_fd < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        int error = errno;
        err_sys(err, error, "no server at %s/%s", dir, name);
        if (error == ENOENT || error == ECONNREFUSED)
            err->code = ERR_NOT_FOUND;
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    close(dir_fd);
    return fd;
}
