#include <sys/stat.h>

#include "http/file_cache.h"
#include "serving.h"
#include "talk.h"
#include "test.h"

static char root[] = "/tmp/maru-files-test.XXXXXX";

static void put(const char *name, const char *bytes, size_t n)
{
    char path[300];
    snprintf(path, sizeof path, "%s/www/%s", root, name);
    FILE *f = fopen(path, "w");
    if (!f || fwrite(bytes, 1, n, f) != n)
        abort();
    fclose(f);
}

static void run_here(const char *format)
{
    char command[500];
    snprintf(command, sizeof command, format, root, root, root);
    if (system(command) != 0)
        printf("# failed: %s\n", command);
}

static void close_all(void)
{
    serving_close(&serving);
    file_cache_clear();
    run_here("rm -rf %s");
}

static void open_all(void)
{
    if (!mkdtemp(root))
        abort();
    run_here("mkdir -p %s/www/lib %s/www/.git %s/www/empty");
    put("index.html", "<p>index", 8);
    put("lib/a.js", "let a", 5);
    put("lib/a.js.br", "brotli", 6);
    put("lib/a.js.gz", "gzip!", 5);
    put(".git/config", "secret", 6);
    put("digits.txt", "0123456789", 10);
    char *big = malloc(1 << 20);
    for (int i = 0; i < 1 << 20; i++)
        big[i] = (char)('a' + i % 23);
    put("big.bin", big, 1 << 20);
    free(big);
    run_here("ln -s /etc/passwd %s/www/out.txt");
    run_here("ln -s digits.txt %s/www/in.txt");
    run_here("ln -s ../../../../../../../../etc %s/www/etc");
    char dir[300];
    snprintf(dir, sizeof dir, "%s/www", root);
    static char kept[300];
    strcpy(kept, dir);
    struct http_options options = serving_options(root);
    serving_open(&serving, &options, 1, kept);
    atexit(close_all);
}

#define port serving_port(&serving, open_all)

TEST(serves_files_with_their_type)
{
    const char *a = talk_get(port, "GET /lib/a.js", NULL);
    CHECK_EQ(talk_status(a), 200);
    CHECK_STR(talk_body(a), "let a");
    CHECK_STR(talk_header(a, "content-type"), "text/javascript; charset=utf-8");
    CHECK_STR(talk_header(a, "x-content-type-options"), "nosniff");
    CHECK_STR(talk_header(a, "cache-control"), "no-cache");
    a = talk_get(port, "GET /", NULL);
    CHECK_STR(talk_body(a), "<p>index<script type=\"module\" src=\"/dev/overlay.js\"></script>\n");
    CHECK(strncmp(talk_header(a, "etag"), "\"dev-", 5) == 0);
    CHECK_STR(talk_header(a, "content-security-policy"),
              "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:");
    a = talk_get(port, "HEAD /digits.txt", NULL);
    CHECK_STR(talk_header(a, "content-length"), "10");
    CHECK_STR(talk_body(a), "");
}

TEST(prefers_precompressed_siblings)
{
    const char *a = talk_get(port, "GET /lib/a.js", "accept-encoding: gzip, br\r\n");
    CHECK_STR(talk_header(a, "content-encoding"), "br");
    CHECK_STR(talk_body(a), "brotli");
    CHECK_STR(talk_header(a, "content-type"), "text/javascript; charset=utf-8");
    a = talk_get(port, "GET /lib/a.js", "accept-encoding: gzip, br;q=0\r\n");
    CHECK_STR(talk_header(a, "content-encoding"), "gzip");
    CHECK_STR(talk_header(a, "vary"), "accept-encoding");
    CHECK(!talk_header(talk_get(port, "GET /digits.txt", "accept-encoding: gzip\r\n"),
                       "content-encoding"));
}

TEST(answers_conditional_requests)
{
    char headers[1200], etag[1024], date[1024];
    const char *a = talk_get(port, "GET /digits.txt", NULL);
    snprintf(etag, sizeof etag, "%s", talk_header(a, "etag"));
    snprintf(date, sizeof date, "%s", talk_header(a, "last-modified"));
    snprintf(headers, sizeof headers, "if-none-match: \"x\", W/%s\r\n", etag);
    a = talk_get(port, "GET /digits.txt", headers);
    CHECK_EQ(talk_status(a), 304);
    CHECK_STR(talk_body(a), "");
    CHECK_STR(talk_header(a, "etag"), etag);
    snprintf(headers, sizeof headers, "if-modified-since: %s\r\n", date);
    CHECK_EQ(talk_status(talk_get(port, "GET /digits.txt", headers)), 304);
    CHECK_EQ(talk_status(talk_get(port, "GET /digits.txt",
                                  "if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT\r\n")),
             200);
    CHECK_EQ(talk_status(talk_get(port, "GET /digits.txt", "if-match: \"other\"\r\n")), 412);
    snprintf(headers, sizeof headers, "if-match: %s\r\n", etag);
    CHECK_EQ(talk_status(talk_get(port, "GET /digits.txt", headers)), 200);
}

TEST(answers_ranges)
{
    const char *a = talk_get(port, "GET /digits.txt", "range: bytes=2-4\r\n");
    CHECK_EQ(talk_status(a), 206);
    CHECK_STR(talk_body(a), "234");
    CHECK_STR(talk_header(a, "content-range"), "bytes 2-4/10");
    a = talk_get(port, "GET /digits.txt", "range: bytes=-3\r\n");
    CHECK_STR(talk_body(a), "789");
    a = talk_get(port, "GET /digits.txt", "range: bytes=10-\r\n");
    CHECK_EQ(talk_status(a), 416);
    CHECK_STR(talk_header(a, "content-range"), "bytes */10");
    a = talk_get(port, "GET /digits.txt", "range: bytes=2-4\r\nif-range: \"old\"\r\n");
    CHECK_EQ(talk_status(a), 200);
    a = talk_get(port, "GET /big.bin", "range: bytes=500000-699999\r\n");
    CHECK_EQ(talk_status(a), 206);
    CHECK_EQ(strlen(talk_body(a)), 200000);
    CHECK_EQ(talk_body(a)[0], 'a' + 500000 % 23);
}

TEST(streams_large_files)
{
    const char *a = talk_get(port, "GET /big.bin", NULL);
    CHECK_EQ(talk_status(a), 200);
    CHECK_EQ(strlen(talk_body(a)), 1 << 20);
    const char *body = talk_body(a);
    bool same = true;
    for (int i = 0; i < 1 << 20; i++)
        same = same && body[i] == 'a' + i % 23;
    CHECK(same);
    CHECK_EQ(talk_status(talk_get(port, "HEAD /big.bin", NULL)), 200);
}

TEST(stays_inside_its_directory)
{
    static const char *const hidden[] = {
        "GET /.git/config",  "GET /out.txt",      "GET /etc/passwd",
        "GET /lib",          "GET /empty/",       "GET /lib/../.git/config",
        "GET //etc/passwd",  "GET /%2e%2e/state", "GET /..%2f..%2fetc/passwd",
        "GET /lib%5c..%5ca", "GET /nothing",      "GET /.%00",
        "GET /lib/a.js/",    "GET /digits.txt/x"};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        int status = talk_status(talk_get(port, hidden[i], NULL));
        if (status != 404 && status != 400)
            printf("# %s: %d\n", hidden[i], status);
        CHECK(status == 404 || status == 400);
    }
    CHECK_STR(talk_body(talk_get(port, "GET /in.txt", NULL)), "0123456789");
}

TEST(only_reads)
{
    const char *a = talk_get(port, "DELETE /digits.txt", NULL);
    CHECK_EQ(talk_status(a), 405);
    CHECK_STR(talk_header(a, "allow"), "GET, HEAD, OPTIONS");
    CHECK_EQ(talk_status(talk_get(port, "OPTIONS /digits.txt", NULL)), 204);
}

TEST(sees_a_changed_file_within_a_second_or_so)
{
    put("changing.txt", "one", 3);
    CHECK_STR(talk_body(talk_get(port, "GET /changing.txt", NULL)), "one");
    put("changing.txt", "second", 6);
    usleep(1200000);
    CHECK_STR(talk_body(talk_get(port, "GET /changing.txt", NULL)), "second");
    CHECK_EQ(talk_status(talk_get(port, "GET /new.txt", NULL)), 404);
    put("new.txt", "new", 3);
    usleep(1200000);
    CHECK_STR(talk_body(talk_get(port, "GET /new.txt", NULL)), "new");
}

TEST(bounds_what_it_remembers_of_missing_files)
{
    char what[60];
    int fd = talk_open(port);
    struct buf in = {0};
    for (int i = 0; i < FILES_CACHE_ENTRIES + 1000; i++) {
        snprintf(what, sizeof what, "GET /missing/%d HTTP/1.1\r\nhost: a\r\n\r\n", i);
        talk_say(fd, what);
        buf_clear(&in);
        if (!talk_until(fd, "not_found", 2000, &in))
            break;
    }
    CHECK(in.p && strstr(in.p, "not_found"));
    buf_free(&in);
    close(fd);
}

TEST(checks_names)
{
    CHECK(file_name_is_safe(STR("a/b.c")));
    static const char *const bad[] = {"",     "/a",     "a//b", "a/",  ".a",
                                      "a/.b", "a/../b", "a\\b", "a\nb"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!file_name_is_safe(str_c(bad[i])));
}
