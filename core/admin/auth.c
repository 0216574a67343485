/* auth.c -- who an operator is. */

#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/internal.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sys.h"

static const char cookie_name[] = "maru_admin=";

bool admin_token_load(struct admin *a, struct err *err)
{
    char *path = mem_printf("%s/admin.token", a->parts->state_dir);
    struct buf text = {0};
    bool ok = true;
    if (access(path, F_OK)) {
        unsigned char bytes[ADMIN_TOKEN_BYTES / 2];
        rand_bytes(bytes, sizeof bytes);
        sodium_bin2hex(a->token, sizeof a->token, bytes, sizeof bytes);
        buf_printf(&text, "%s\n", a->token);
        ok = file_write(path, buf_str(&text), 0600, err);
    } else if ((ok = file_read(path, 4096, &text, err))) {
        struct str token = str_trim(buf_str(&text));
        if (token.n < 16 || token.n > ADMIN_TOKEN_BYTES)
            ok = err_set(err, ERR_INVALID, "%s: a token has 16 to %d characters", path,
                         ADMIN_TOKEN_BYTES);
        else
            snprintf(a->token, sizeof a->token, "%.*s", (int)token.n, token.p);
    }
    buf_free(&text);
    mem_free(path);
    return ok;
}

/* Compares in a time that depends on the lengths only. */
static bool is_token(const struct admin *a, struct str given)
{
    size_t n = strlen(a->token);
    return given.n == n && sodium_memcmp(given.p, a->token, n) == 0;
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

bool admin_is_allowed(const struct admin *a, const struct http_request *r)
{
    if (request_is_local(r))
        return true;
    struct str given = request_header(r, STR("authorization"));
    struct str bearer = STR("Bearer ");
    if (given.p && str_starts(given, bearer))
        return is_token(a, str_trim(str_n(given.p + bearer.n, given.n - bearer.n)));
    return is_token(a, cookie(r));
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
    bool bad = false, good = false;
    while (query_next(request_query(r), &at, &scratch, &key, &value, &bad))
        good = good || (str_eq_c(key, "token") && is_token(a, value));
    buf_free(&scratch);
    if (!good && !request_is_local(r)) {
        respond_problemf(r, 401, "unauthorized", "this is not the token in admin.token");
        return;
    }
    struct buf header = {0};
    buf_printf(&header, "%s%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800", cookie_name,
               a->token);
    respond_header(r, STR("set-cookie"), buf_str(&header));
    respond_header(r, STR("location"), STR("/#/operations"));
    respond(r, 303, STR(""), STR(""));
    buf_free(&header);
}
