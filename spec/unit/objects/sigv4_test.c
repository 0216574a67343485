/* The signing suite of awslabs/aws-c-auth and the examples of the S3 documentation, recomputed. */
#include "objects/sigv4.h"

#include <dirent.h>
#include <time.h>

#include "base/json_pick.h"
#include "base/sys.h"
#include "test.h"

#define SUITE   "../shared/evidence/sigv4/aws-signing-test-suite-v4"
#define VECTORS "../shared/evidence/sigv4/s3-doc-vectors.json"

enum { PAIRS = 32 };

/* One case: its request as sent, and what signs it. */
struct example {
    struct buf request, context;
    struct sigv4_keys keys;
    struct sigv4_request r;
    struct sigv4_pair headers[PAIRS], query[PAIRS];
    struct buf texts[PAIRS]; /* decoded or joined ones */
    int text_count;
    int64_t expires;
    bool sign_body;
    struct str body;
    char time[SIGV4_TIME + 1], hash[SIGV4_HEX + 1];
};

static struct buf read_file(const char *dir, const char *name)
{
    struct buf out = {0};
    struct err err;
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%s", SUITE, dir, name);
    CHECK(file_read(path, 1 << 20, &out, &err));
    return out;
}

static struct str text_of(struct str json, const char *key)
{
    struct str value = json_pick_get(json, key);
    return value.n >= 2 ? str_n(value.p + 1, value.n - 2) : STR("");
}

static int64_t time_of(struct str text)
{
    struct tm tm = {0};
    sscanf(text.p, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
           &tm.tm_min, &tm.tm_sec);
    tm.tm_year -= 1900;
    tm.tm_mon--;
    return timegm(&tm);
}

static struct str decoded(struct example *e, struct str text)
{
    struct buf *b = &e->texts[e->text_count++];
    for (size_t i = 0; i < text.n; i++) {
        unsigned value = 0;
        if (text.p[i] == '%' && i + 2 < text.n && sscanf(text.p + i + 1, "%2x", &value) == 1) {
            buf_add_char(b, (char)value);
            i += 2;
        } else
            buf_add_char(b, text.p[i]);
    }
    return b->n ? buf_str(b) : STR("");
}

static void read_target(struct example *e, struct str target)
{
    struct str path = str_split(&target, '?');
    e->r.path = path;
    while (target.n) {
        struct str value = str_split(&target, '&'), name = str_split(&value, '=');
        e->query[e->r.query_count++] = (struct sigv4_pair){decoded(e, name), decoded(e, value)};
    }
    e->r.query = e->query;
}

static struct str lower(struct example *e, struct str name)
{
    struct buf *b = &e->texts[e->text_count++];
    for (size_t i = 0; i < name.n; i++)
        buf_add_char(b, (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]));
    return buf_str(b);
}

static void add_header(struct example *e, struct str name, struct str value)
{
    e->headers[e->r.header_count++] = (struct sigv4_pair){name, value};
    e->r.headers = e->headers;
}

/* Lines that begin with white space go on with the value before. */
static void read_request(struct example *e)
{
    struct str rest = buf_str(&e->request), line = str_split(&rest, '\n');
    e->r.method = str_split(&line, ' ');
    while (line.n && line.p[line.n - 1] != ' ')
        line.n--;
    read_target(e, str_n(line.p, line.n - 1));
    while (rest.n) {
        line = str_split(&rest, '\n');
        if (line.n == 0)
            break;
        if (line.p[0] == ' ') {
            struct str *value = &e->headers[e->r.header_count - 1].value;
            value->n = (size_t)(line.p + line.n - value->p);
            continue;
        }
        struct str name = str_split(&line, ':');
        add_header(e, lower(e, name), line);
    }
    e->body = rest;
}

static void read_example(struct example *e, const char *dir)
{
    *e = (struct example){.request = read_file(dir, "request.txt"),
                          .context = read_file(dir, "context.json")};
    struct str context = buf_str(&e->context), credentials = json_pick_get(context, "credentials");
    e->keys = (struct sigv4_keys){.id = text_of(credentials, "access_key_id"),
                                  .secret = text_of(credentials, "secret_access_key"),
                                  .token = text_of(credentials, "token"),
                                  .region = text_of(context, "region"),
                                  .service = text_of(context, "service")};
    e->expires = strtoll(json_pick_get(context, "expiration_in_seconds").p, NULL, 10);
    e->sign_body = str_eq_c(json_pick_get(context, "sign_body"), "true");
    e->r.at = time_of(text_of(context, "timestamp"));
    sigv4_time(e->time, e->r.at);
    read_request(e);
    sigv4_hash(e->hash, e->body);
    e->r.payload = str_c(e->hash);
}

static void free_example(struct example *e)
{
    buf_free(&e->request);
    buf_free(&e->context);
    for (int i = 0; i < e->text_count; i++)
        buf_free(&e->texts[i]);
}

static void check_equal(const char *dir, const char *name, struct str got)
{
    struct buf wanted = read_file(dir, name);
    if (!str_eq(buf_str(&wanted), got))
        TEST_FAIL("%s/%s: got %.*s", dir, name, (int)got.n, got.p);
    buf_free(&wanted);
}

static struct str last(struct str text, size_t n)
{
    return str_n(text.p + text.n - n, n);
}

static void check_header(const char *dir)
{
    struct example e;
    struct buf canonical = {0}, to_sign = {0}, value = {0};
    read_example(&e, dir);
    if (e.sign_body)
        add_header(&e, STR("x-amz-content-sha256"), str_c(e.hash));
    add_header(&e, STR("x-amz-date"), str_c(e.time));
    bool after = strstr(dir, "sts-header-after") != NULL; /* the token is added behind, unsigned */
    if (e.keys.token.n && !after)
        add_header(&e, STR("x-amz-security-token"), e.keys.token);
    sigv4_canonical(&canonical, &e.r);
    check_equal(dir, "header-canonical-request.txt", buf_str(&canonical));
    sigv4_to_sign(&to_sign, &e.keys, &e.r, buf_str(&canonical));
    check_equal(dir, "header-string-to-sign.txt", buf_str(&to_sign));
    sigv4_authorization(&value, &e.keys, &e.r);
    check_equal(dir, "header-signature.txt", last(buf_str(&value), SIGV4_HEX));
    buf_free(&canonical);
    buf_free(&to_sign);
    buf_free(&value);
    free_example(&e);
}

static void check_query(const char *dir)
{
    struct example e;
    struct buf query = {0};
    read_example(&e, dir);
    if (strstr(dir, "sts-header-after"))
        e.keys.token = STR("");
    sigv4_presign(&query, &e.keys, &e.r, e.expires);
    check_equal(dir, "query-signature.txt", last(buf_str(&query), SIGV4_HEX));
    buf_free(&query);
    free_example(&e);
}

/* What other services normalise S3 does not: "//" and ".." are letters of a key. */
static bool is_ours(const char *name)
{
    const char *end = strstr(name, "-normalized");
    return name[0] != '.' && !end;
}

TEST(signs_as_the_official_suite)
{
    int count = 0;
    DIR *suite = opendir(SUITE);
    REQUIRE(suite);
    for (struct dirent *d; (d = readdir(suite));) {
        if (!is_ours(d->d_name))
            continue;
        check_header(d->d_name);
        check_query(d->d_name);
        count++;
    }
    closedir(suite);
    CHECK(count >= 30);
    printf("# %d cases, each by header and by query\n", count);
}

static void check_vector(struct str vector, struct str document)
{
    struct example e = {.keys = {.id = text_of(document, "access_key"),
                                 .secret = text_of(document, "secret_key"),
                                 .region = text_of(document, "region"),
                                 .service = text_of(document, "service")}};
    struct json_pick headers;
    struct str name, value;
    struct buf query = {0}, out = {0};
    e.r.method = text_of(vector, "method");
    read_target(&e, text_of(vector, "canonical_uri"));
    e.r.path = decoded(&e, e.r.path);
    struct str canonical = text_of(vector, "canonical_query");
    buf_printf(&query, "/?%.*s", (int)canonical.n, canonical.p);
    struct str path = e.r.path;
    read_target(&e, buf_str(&query));
    e.r.path = path;
    REQUIRE(json_pick_open(&headers, json_pick_get(vector, "headers"), '{'));
    while (json_pick_pair(&headers, &name, &value))
        add_header(&e, name, str_n(value.p + 1, value.n - 2));
    e.r.payload = text_of(vector, "payload_hash");
    e.r.at = 1369353600; /* 20130524T000000Z */
    sigv4_authorization(&out, &e.keys, &e.r);
    struct str signature = text_of(vector, "signature"), wanted_name = text_of(vector, "name");
    if (!str_eq(last(buf_str(&out), SIGV4_HEX), signature))
        TEST_FAIL("%.*s", (int)wanted_name.n, wanted_name.p);
    buf_free(&out);
    buf_free(&query);
    free_example(&e);
}

TEST(signs_as_the_documentation_of_s3)
{
    struct buf file = {0};
    struct err err;
    struct json_pick vectors;
    struct str vector;
    int count = 0;
    REQUIRE(file_read(VECTORS, 1 << 20, &file, &err));
    REQUIRE(json_pick_open(&vectors, json_pick_get(buf_str(&file), "vectors"), '['));
    while (json_pick_item(&vectors, &vector)) {
        if (!json_pick_get(vector, "canonical_uri").n)
            continue; /* of a chunk */
        check_vector(vector, buf_str(&file));
        count++;
    }
    CHECK(count >= 5);
    buf_free(&file);
}
