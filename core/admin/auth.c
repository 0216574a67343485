/* auth.c -- who an operator is. */

#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/internal.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sys.h"

static const char cookie_name[] = "maru_admin=";

/* Reads state.dir/name, or makes it. */
static bool load(const struct admin *a, const char *name, char token[ADMIN_TOKEN_BYTES + 1],
                 struct err *err)
{
    char *path = mem_printf("%s/%s", a->parts->state_dir, name);
    struct buf text = {0};
    bool ok = true;
    if (access(path, F_OK)) {
        unsigned char bytes[ADMIN_TOKEN_BYTES / 2];
        rand_bytes(bytes, sizeof bytes);
        sodium_bin2hex(token, ADMIN_TOKEN_BYTES + 1, bytes, sizeof bytes);
        buf_printf(&text, "%s\n", token);
        ok = file_write(path, buf_str(&text), 0600, err);
    } else if ((ok = file_read(path, 4096, &text, err))) {
        struct str found = str_trim(buf_str(&text));
        if (found.n < 16 || found.n > ADMIN_TOKEN_BYTES)
            ok = err_set(err, ERR_INVALID, "%s: a token has 16 to %d characters", path,
                         ADMIN_TOKEN_BYTES);
        else
            snprintf(token, ADMIN_TOKEN_BYTES + 1, "%.*s", (int)found.n, found.p);
    }
    buf_free(&text);
    mem_free(path);
    return ok;
}

bool admin_token_load(struct admin *a, struct err *err)
{
    return load(a, "admin.token", a->token, err) && load(a, "viewer.token", a->viewer, err);
}

/* Compares in a time that depends on the lengths only. */
static bool is_same(const char *token, struct str given)
{
    size_t n = strlen(token);
    return given.n == n && sodium_memcmp(given.p, token, n) == 0;
}

static enum admin_role role_of(const struct admin *a, struct str given)
{
    if (is_same(a->token, given))
        return ADMIN_OPERATOR;
    return is_same(a->viewer, given) ? ADMIN_VIEWER : ADMIN_NOBODY;
}

static struct str cookie(const struct http_request *r)
{
    struct str rest = request_header(r, STR("cookie"));
    while (rest.n) {
        struct str pair = str_trim(str_split(&rest, ';'));
        if (str_starts(pair, str_c(cookie_name)))
            return str_n(pair.p + sizeof cookie_name - 1, pair.n - (sizeof cookie_name - 1));
    }
    return (struct str){"", 0};
}

enum admin_role admin_role(const struct admin *a, const struct http_request *r)
{
    if (request_is_local(r))
        return ADMIN_OPERATOR;
    struct str given = request_header(r, STR("authorization"));
    struct str bearer = STR("Bearer ");
    if (given.p && str_starts(given, bearer))
        return role_of(a, str_trim(str_n(given.p + bearer.n, given.n - bearer.n)));
    return role_of(a, cookie(r));
}

bool admin_is_allowed(const struct admin *a, const struct http_request *r)
{
    return admin_role(a, r) == ADMIN_OPERATOR;
}

/* Browsers send Origin with every request that changes something; programs that
 * hold the token send none. */
bool admin_same_origin(const struct http_request *r)
{
    struct str origin = request_header(r, STR("origin")), host = request_host(r);
    if (!origin.p)
        return true;
    for (size_t i = 0; i + 2 < origin.n; i++) {
        if (!memcmp(origin.p + i, "://", 3))
            return str_eq(str_n(origin.p + i + 3, origin.n - i - 3), host);
    }
    return false;
}

void admin_login(struct http_request *r, void *arg)
{
    struct admin *a = arg;
    struct buf scratch = {0};
    struct str key, value;
    size_t at = 0;
    bool bad = false;
    enum admin_role role = request_is_local(r) ? ADMIN_OPERATOR : ADMIN_NOBODY;
    while (query_next(request_query(r), &at, &scratch, &key, &value, &bad))
        if (str_eq_c(key, "token") && role == ADMIN_NOBODY)
            role = role_of(a, value);
    buf_free(&scratch);
    if (role == ADMIN_NOBODY) {
        respond_problemf(r, 401, "unauthorized", "this is not the token in admin.token");
        return;
    }
    struct buf header = {0};
    buf_printf(&header, "%s%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800", cookie_name,
               role == ADMIN_OPERATOR ? a->token : a->viewer);
    respond_header(r, STR("set-cookie"), buf_str(&header));
    respond_header(r, STR("location"), STR("/#/operations"));
    respond(r, 303, STR(""), STR(""));
    buf_free(&header);
}
