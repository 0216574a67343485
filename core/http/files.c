#include "http/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/file_cache.h"
#include "http/internal.h"
#include "http/mime.h"
#include "http/validate.h"

static const h2o_iovec_t content_options_name = {H2O_STRLIT("x-content-type-options")};
static const h2o_iovec_t policy_name = {H2O_STRLIT("content-security-policy")};
static const h2o_iovec_t referrer_name = {H2O_STRLIT("referrer-policy")};
static const struct str policy = {H2O_STRLIT(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:")};

struct files {
    struct files_mount *mounts; /* longest prefix first */
    int count;
    bool development;
};

/* What is being sent, wherever it comes from. */
struct found {
    const struct files_mount *mount;
    struct str name;   /* below the mount, with index.html */
    struct file *file; /* referenced; NULL for files in memory */
    struct str bytes;  /* p NULL: file is large */
    uint64_t size;
    struct str etag, coding; /* coding "gzip", "br" or empty */
    int64_t modified;        /* -1 = unknown */
};

static int longer_first(const void *a, const void *b)
{
    const struct files_mount *x = a, *y = b;
    size_t nx = strlen(x->prefix), ny = strlen(y->prefix);
    return nx != ny ? (nx < ny) - (nx > ny) : strcmp(x->prefix, y->prefix);
}

struct files *files_create(const struct files_mount *mounts, int count, bool development,
                           struct err *err)
{
    struct files *files = mem_zero(1, sizeof *files);
    files->mounts = mem_dup(mounts, (size_t)count * sizeof *mounts);
    files->count = count;
    files->development = development;
    qsort(files->mounts, (size_t)count, sizeof *mounts, longer_first);
    struct stat st;
    for (int i = 0; i < count; i++) {
        const struct files_mount *m = &files->mounts[i];
        if (i > 0 && strcmp(m->prefix, files->mounts[i - 1].prefix) == 0)
            err_set(err, ERR_CONFLICT, "two mounts at %s", m->prefix);
        else if (m->dir && (stat(m->dir, &st) != 0 || !S_ISDIR(st.st_mode)))
            err_set(err, ERR_NOT_FOUND, "mount %s: %s is not a directory", m->prefix, m->dir);
        else
            continue;
        files_destroy(files);
        return NULL;
    }
    return files;
}

void files_destroy(struct files *files)
{
    if (!files)
        return;
    mem_free(files->mounts);
    mem_free(files);
}

static const struct files_entry *find_entry(const struct files_mount *mount, struct str name)
{
    int low = 0, high = mount->count;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = str_cmp(str_c(mount->entries[middle].name), name);
        if (order == 0)
            return &mount->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Fills *out (but for mount and coding) with what the name is now. */
static bool look_up(struct http_request *r, const struct files_mount *mount, struct str name,
                    struct found *out)
{
    if (!mount->dir) {
        const struct files_entry *entry = find_entry(mount, name);
        if (!entry)
            return false;
        char etag[64];
        int n = snprintf(etag, sizeof etag, "\"%.24s-%zx\"", mount->version ? mount->version : "0",
                         (size_t)(entry - mount->entries));
        out->bytes = str_n(entry->bytes ? entry->bytes : "", entry->n);
        out->size = entry->n;
        out->modified = -1;
        out->etag = request_copy(r, str_n(etag, (size_t)n));
        return true;
    }
    struct file *file = file_find(mount->dir, name, lane_now(r->lane->lane));
    if (!file->exists) {
        file_unref(file);
        return false;
    }
    out->file = file;
    out->bytes = file->bytes ? str_n(file->bytes, (size_t)file->size) : str_n(NULL, 0);
    out->size = (uint64_t)file->size;
    out->modified = file->modified;
    out->etag = str_c(file->etag);
    return true;
}

/* Prefers name.br, then name.gz where the client takes them. */
static bool look_up_coded(struct http_request *r, struct found *found)
{
    static const struct {
        const char *coding, *ending;
    } codings[] = {{"br", ".br"}, {"gzip", ".gz"}};
    struct str accept = request_token(r, H2O_TOKEN_ACCEPT_ENCODING);
    struct str plain = found->name;
    for (int i = 0; i < 2 && accept.p; i++) {
        if (!encoding_accepted(accept, codings[i].coding))
            continue;
        size_t ending_n = strlen(codings[i].ending);
        char *name = request_alloc(r, plain.n + ending_n);
        memcpy(name, plain.p, plain.n);
        memcpy(name + plain.n, codings[i].ending, ending_n);
        if (!look_up(r, found->mount, str_n(name, plain.n + ending_n), found))
            continue;
        found->name = str_n(name, plain.n + ending_n);
        found->coding = str_c(codings[i].coding);
        return true;
    }
    return look_up(r, found->mount, plain, found);
}

static bool find(const struct files *files, struct http_request *r, struct found *found)
{
    for (int i = 0; i < files->count; i++) {
        const struct files_mount *mount = &files->mounts[i];
        struct str prefix = str_c(mount->prefix);
        if ((mount->admin && !r->admin) || !str_starts(r->path, prefix))
            continue;
        *found = (struct found){.mount = mount};
        struct str name = str_n(r->path.p + prefix.n, r->path.n - prefix.n);
        if (name.n == 0 || name.p[name.n - 1] == '/') {
            char *with_index = request_alloc(r, name.n + 10);
            memcpy(with_index, name.p, name.n);
            memcpy(with_index + name.n, "index.html", 10);
            name = str_n(with_index, name.n + 10);
        }
        found->name = name;
        if (file_name_is_safe(name) && look_up_coded(r, found))
            return true;
    }
    return false;
}

static void put_headers(struct http_request *r, const struct files *files,
                        const struct found *found)
{
    struct str name = found->name;
    if (found->coding.n > 0)
        name.n -= 3;
    struct str type = mime_of(name);
    bool html = str_starts(type, STR("text/html"));
    response_token(r, H2O_TOKEN_CONTENT_TYPE, type);
    response_token(r, H2O_TOKEN_ETAG, found->etag);
    response_token(r, H2O_TOKEN_CACHE_CONTROL,
                   files->development || html ? STR("no-cache") : STR("public, max-age=600"));
    if (found->modified >= 0) {
        char *date = request_alloc(r, 30);
        http_date_format(found->modified, date);
        response_token(r, H2O_TOKEN_LAST_MODIFIED, str_n(date, 29));
    }
    response_token(r, H2O_TOKEN_VARY, STR("accept-encoding"));
    response_token(r, H2O_TOKEN_ACCEPT_RANGES, STR("bytes"));
    response_header(r, &content_options_name, STR("nosniff"));
    if (html) {
        response_header(r, &policy_name, policy);
        response_header(r, &referrer_name, STR("same-origin"));
    }
}

/* 304 and 412 of RFC 9110, section 13.2.2; 0 when the file is to be sent. */
static int check_conditions(struct http_request *r, const struct found *found)
{
    struct str match = request_token(r, H2O_TOKEN_IF_MATCH);
    if (match.p && !etag_listed(match, found->etag, true))
        return 412;
    struct str none_match = request_token(r, H2O_TOKEN_IF_NONE_MATCH);
    if (none_match.p)
        return etag_listed(none_match, found->etag, false) ? 304 : 0;
    struct str since = request_token(r, H2O_TOKEN_IF_MODIFIED_SINCE);
    if (since.p && found->modified >= 0) {
        int64_t when = http_date_parse(since);
        return when >= 0 && found->modified <= when ? 304 : 0;
    }
    return 0;
}

static enum range_result check_range(struct http_request *r, const struct found *found,
                                     uint64_t *first, uint64_t *last)
{
    struct str range = request_token(r, H2O_TOKEN_RANGE);
    if (!range.p)
        return RANGE_WHOLE;
    struct str condition = request_token(r, H2O_TOKEN_IF_RANGE);
    if (condition.p && !etag_listed(condition, found->etag, true))
        return RANGE_WHOLE;
    return range_parse(range, found->size, first, last);
}

static void put_content_range(struct http_request *r, const char *format, ...)
{
    char text[96];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    response_token(r, H2O_TOKEN_CONTENT_RANGE, request_copy(r, str_n(text, (size_t)n)));
}

/* ---- sending ---- */

enum { FILE_PIECE_BYTES = 64 << 10 };

/* A large file under way: pool-shared, so that the descriptor is closed with it. */
struct file_send {
    h2o_generator_t generator;
    int fd;
    uint64_t at, end;
    char piece[FILE_PIECE_BYTES];
};

static void close_send(void *arg)
{
    close(((struct file_send *)arg)->fd);
}

static void send_piece(h2o_generator_t *generator, h2o_req_t *req)
{
    struct file_send *send = (struct file_send *)(void *)generator;
    uint64_t left = send->end - send->at;
    size_t n = left < FILE_PIECE_BYTES ? (size_t)left : FILE_PIECE_BYTES;
    ssize_t got = pread(send->fd, send->piece, n, (off_t)send->at);
    if (got <= 0) { /* shorter than it was: the announced length cannot be kept */
        req->http1_is_persistent = 0;
        h2o_send(req, NULL, 0, H2O_SEND_STATE_ERROR);
        return;
    }
    send->at += (uint64_t)got;
    h2o_iovec_t piece = {send->piece, (size_t)got};
    h2o_send(req, &piece, 1,
             send->at == send->end ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void send_large(struct http_request *r, const struct found *found, int status,
                       uint64_t first, uint64_t n)
{
    int fd = file_open(found->mount->dir, found->name);
    if (fd < 0) {
        respond_problem(r, 404, "not_found", STR("the file is gone"), str_n(NULL, 0));
        return;
    }
    struct file_send *send = h2o_mem_alloc_shared(&r->req->pool, sizeof *send, close_send);
    send->generator = (h2o_generator_t){send_piece, NULL};
    send->fd = fd;
    send->at = first;
    send->end = first + n;
    response_begin(r, status);
    r->state = REQUEST_ANSWERED;
    unsent_begin(r, FILE_PIECE_BYTES);
    request_release(r);
    r->req->res.content_length = (size_t)n;
    h2o_start_response(r->req, &send->generator);
    if (r->head || n == 0)
        h2o_send(r->req, NULL, 0, H2O_SEND_STATE_FINAL);
    else
        send_piece(&send->generator, r->req);
}

static void send_found(struct http_request *r, const struct found *found)
{
    uint64_t first = 0, last = 0;
    enum range_result range = check_range(r, found, &first, &last);
    if (range == RANGE_OUTSIDE) {
        put_content_range(r, "bytes */%llu", (unsigned long long)found->size);
        respond_problem(r, 416, "range", STR("the file is shorter than the range asked for"),
                        str_n(NULL, 0));
        return;
    }
    int status = range == RANGE_PART ? 206 : 200;
    uint64_t n = range == RANGE_PART ? last - first + 1 : found->size;
    if (range == RANGE_PART)
        put_content_range(r, "bytes %llu-%llu/%llu", (unsigned long long)first,
                          (unsigned long long)last, (unsigned long long)found->size);
    if (found->bytes.p)
        response_send(r, status, str_n(found->bytes.p + first, (size_t)n));
    else
        send_large(r, found, status, first, n);
}

/* In development every page watches for plugins that break: public/dev/overlay.js. */
static void add_overlay(struct http_request *r, struct found *found)
{
    const struct str script = STR("<script type=\"module\" src=\"/dev/overlay.js\"></script>\n");
    size_t n = found->bytes.n;
    if (!found->bytes.p || found->coding.n > 0 || found->etag.n < 2 ||
        !str_starts(mime_of(found->name), STR("text/html")))
        return;
    char *bytes = request_alloc(r, n + script.n);
    memcpy(bytes, found->bytes.p, n);
    memcpy(bytes + n, script.p, script.n);
    char *etag = request_alloc(r, found->etag.n + 4); /* a kept page without it is another one */
    memcpy(etag, "\"dev-", 5);
    memcpy(etag + 5, found->etag.p + 1, found->etag.n - 1);
    found->bytes = str_n(bytes, n + script.n);
    found->size = n + script.n;
    found->etag = str_n(etag, found->etag.n + 4);
    found->modified = -1;
}

bool files_serve(const struct files *files, struct http_request *r)
{
    struct found found;
    if (!find(files, r, &found))
        return false;
    if (files->development)
        add_overlay(r, &found);
    r->file = found.file; /* until the request is disposed of */
    struct str method = request_method(r);
    if (!r->head && !str_eq_c(method, "GET")) {
        response_token(r, H2O_TOKEN_ALLOW, STR("GET, HEAD, OPTIONS"));
        if (str_eq_c(method, "OPTIONS"))
            respond(r, 204, str_n(NULL, 0), str_n(NULL, 0));
        else
            respond_problem(r, 405, "method_not_allowed", STR("a file can only be read"),
                            str_n(NULL, 0));
        return true;
    }
    int status = check_conditions(r, &found);
    if (status == 412) {
        respond_problem(r, 412, "precondition", STR("the file is another one by now"),
                        str_n(NULL, 0));
        return true;
    }
    if (found.coding.n > 0)
        response_token(r, H2O_TOKEN_CONTENT_ENCODING, found.coding);
    put_headers(r, files, &found);
    if (status == 304)
        response_send(r, 304, str_n(NULL, 0));
    else
        send_found(r, &found);
    return true;
}
