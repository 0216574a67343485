#include "storage/redis_url.h"

#include "base/mem.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *unescaped(struct str s)
{
    char *out = mem_alloc(s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int high = s.p[i] == '%' && i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
        out[n++] = low >= 0 ? (char)(high * 16 + low) : s.p[i];
        i += low >= 0 ? 2 : 0;
    }
    out[n] = '\0';
    return out;
}

static bool small_number(struct str s, int most, int *out)
{
    long long value;
    if (!str_int64(s, &value) || value < 0 || value > most)
        return false;
    *out = (int)value;
    return true;
}

static void take_credentials(struct str *rest, struct redis_url *out)
{
    size_t at = rest->n;
    while (at > 0 && rest->p[at - 1] != '@')
        at--;
    if (at == 0)
        return;
    struct str credentials = str_n(rest->p, at - 1);
    struct str user = str_split(&credentials, ':');
    bool has_password = user.p + user.n < rest->p + at - 1;
    out->user = user.n && has_password ? unescaped(user) : NULL;
    out->password = unescaped(has_password ? credentials : user);
    *rest = str_n(rest->p + at, rest->n - at);
}

static void set_text(char **to, struct str value)
{
    mem_free(*to);
    *to = unescaped(value);
}

static bool take_option(struct str option, struct redis_url *out, struct err *err)
{
    struct str value = option, name = str_split(&value, '=');
    if (str_eq_c(name, "db"))
        return small_number(value, 1 << 20, &out->db) ||
               err_set(err, ERR_INVALID, "the number of the database is wrong");
    if (str_eq_c(name, "ssl_ca_certs"))
        set_text(&out->ca_file, value);
    else if (str_eq_c(name, "ssl_certfile"))
        set_text(&out->cert_file, value);
    else if (str_eq_c(name, "ssl_keyfile"))
        set_text(&out->key_file, value);
    else if (str_eq_c(name, "ssl_cert_reqs"))
        out->unchecked = str_eq_c(value, "none") || str_eq_c(value, "CERT_NONE");
    else
        return err_set(err, ERR_INVALID, "no such option: %.*s", (int)(name.n < 40 ? name.n : 40),
                       name.p);
    return true;
}

static bool take_place(struct str place, struct redis_url *out)
{
    bool bracket = place.n && *place.p == '[';
    size_t host_n = bracket ? str_find(place, ']') : str_find(place, ':');
    struct str host = str_n(place.p + bracket, host_n - bracket);
    struct str port =
        str_n(place.p + host_n + bracket, place.n > host_n ? place.n - host_n - bracket : 0);
    out->host = host.n ? str_dup(host) : mem_strdup("127.0.0.1");
    return port.n == 0 ||
           (*port.p == ':' && small_number(str_n(port.p + 1, port.n - 1), 65535, &out->port));
}

static bool parse(struct str text, struct redis_url *out, struct err *err)
{
    bool is_path = str_starts(text, STR("unix://"));
    out->tls = str_starts(text, STR("rediss://"));
    if (!is_path && !out->tls && !str_starts(text, STR("redis://")))
        return err_set(err, ERR_INVALID,
                       "must be redis://[user:password@]host[:port][/db], rediss:// or unix://");
    size_t scheme = str_find(text, '/') + 2;
    struct str options = str_n(text.p + scheme, text.n - scheme);
    struct str rest = str_split(&options, '?');
    take_credentials(&rest, out);
    if (is_path) {
        out->path = unescaped(rest);
    } else {
        struct str place = str_split(&rest, '/');
        if (!take_place(place, out) || (rest.n && !small_number(rest, 1 << 20, &out->db)))
            return err_set(err, ERR_INVALID, "the port or the number of the database is wrong");
    }
    while (options.n) {
        if (!take_option(str_split(&options, '&'), out, err))
            return false;
    }
    return true;
}

bool redis_url_parse(struct str text, struct redis_url *out, struct err *err)
{
    *out = (struct redis_url){.port = 6379};
    if (parse(text, out, err))
        return true;
    redis_url_fini(out);
    return false;
}

void redis_url_fini(struct redis_url *url)
{
    mem_free(url->host);
    mem_free(url->path);
    mem_free(url->user);
    mem_free(url->password);
    mem_free(url->ca_file);
    mem_free(url->cert_file);
    mem_free(url->key_file);
    *url = (struct redis_url){0};
}
