#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "serving.h"
#include "talk.h"
#include "test.h"

static void hurry(struct http_options *options)
{
    options->limits.tls_ns = 300 * NS_PER_MS;
}

static void open_all(void)
{
    serving_start(1, hurry);
}

static SSL_CTX *client;

/* A client connection, or NULL; closed by hang_up(). */
static SSL *call(const char *protocol, int version)
{
    unsigned char list[16];
    if (!client)
        client = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(client);
    SSL_set_fd(ssl, talk_open(serving.tls_port));
    list[0] = (unsigned char)strlen(protocol);
    memcpy(list + 1, protocol, list[0]);
    SSL_set_alpn_protos(ssl, list, list[0] + 1u);
    SSL_set_max_proto_version(ssl, version);
    if (SSL_connect(ssl) == 1)
        return ssl;
    ERR_clear_error();
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    return NULL;
}

static void hang_up(SSL *ssl)
{
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
}

static void say(SSL *ssl, const char *text)
{
    SSL_write(ssl, text, (int)strlen(text));
}

static bool asks(SSL *ssl)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";
    static char answer[4096];
    if (SSL_write(ssl, request, sizeof request - 1) <= 0)
        return false;
    size_t n = 0;
    for (int got; n < sizeof answer - 1 &&
                  (got = SSL_read(ssl, answer + n, (int)(sizeof answer - 1 - n))) > 0;) {
        n += (size_t)got;
        answer[n] = '\0';
        if (strstr(answer, "\"hello\"}"))
            return true;
    }
    return false;
}

static void serial_of(SSL *ssl, char out[100])
{
    X509 *cert = SSL_get1_peer_certificate(ssl);
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = BN_bn2hex(number);
    snprintf(out, 100, "%s", hex);
    OPENSSL_free(hex);
    BN_free(number);
    X509_free(cert);
}

TEST(makes_a_certificate_for_this_machine)
{
    open_all();
    SSL *ssl = call("http/1.1", TLS1_3_VERSION);
    REQUIRE(ssl);
    X509 *cert = SSL_get1_peer_certificate(ssl);
    CHECK(X509_check_host(cert, "localhost", 0, 0, NULL) == 1);
    CHECK(X509_check_ip_asc(cert, "127.0.0.1", 0) == 1);
    CHECK(X509_check_ip_asc(cert, "::1", 0) == 1);
    CHECK(X509_check_host(cert, "example.com", 0, 0, NULL) != 1);
    X509_free(cert);
    hang_up(ssl);
    char path[100];
    struct stat st;
    snprintf(path, sizeof path, "%s/tls/key.pem", serving_dir);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    serving_end();
}

TEST(chooses_the_protocol_by_name)
{
    open_all();
    static const char *const names[] = {"h2", "http/1.1"};
    for (int i = 0; i < 2; i++) {
        const unsigned char *name;
        unsigned n;
        SSL *ssl = call(names[i], TLS1_3_VERSION);
        REQUIRE(ssl);
        SSL_get0_alpn_selected(ssl, &name, &n);
        CHECK(n == strlen(names[i]) && memcmp(name, names[i], n) == 0);
        CHECK(i == 0 || asks(ssl));
        hang_up(ssl);
    }
    serving_end();
}

TEST(speaks_tls_1_2_and_nothing_older)
{
    open_all();
    SSL *ssl = call("http/1.1", TLS1_2_VERSION);
    REQUIRE(ssl);
    CHECK(asks(ssl) && asks(ssl));
    hang_up(ssl);
    CHECK(call("http/1.1", TLS1_1_VERSION) == NULL);
    serving_end();
}

/* As an operator would: the files are written anew. */
static void replace_certificate(void)
{
    char command[600];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
             "-subj /CN=new -keyout %s/tls/key.pem -out %s/tls/cert.pem 2>/dev/null",
             serving_dir, serving_dir);
    if (system(command) != 0)
        printf("# openssl failed\n");
}

TEST(takes_a_new_certificate_without_dropping_connections)
{
    open_all();
    char before[100], after[100], path[100];
    struct err err = {0};
    SSL *old = call("http/1.1", TLS1_3_VERSION);
    REQUIRE(old);
    CHECK(asks(old));
    serial_of(old, before);
    snprintf(path, sizeof path, "%s/tls/cert.pem", serving_dir);
    FILE *f = fopen(path, "w");
    fputs("not a certificate", f);
    fclose(f);
    CHECK(!http_server_reload_tls(serving.server, &err));
    CHECK(strstr(err.message, "cert.pem"));
    SSL *still = call("http/1.1", TLS1_3_VERSION);
    REQUIRE(still);
    serial_of(still, after);
    CHECK_STR(after, before);
    hang_up(still);
    replace_certificate();
    CHECK(http_server_reload_tls(serving.server, &err));
    SSL *fresh = call("http/1.1", TLS1_3_VERSION);
    REQUIRE(fresh);
    serial_of(fresh, after);
    CHECK(strcmp(after, before) != 0);
    CHECK(asks(old) && asks(fresh));
    hang_up(old);
    hang_up(fresh);
    serving_end();
}

TEST(gives_up_on_handshakes_that_do_not_come)
{
    open_all();
    int fd = talk_open(serving.tls_port);
    struct buf in = {0};
    CHECK(talk_until_end(fd, 3000, &in));
    close(fd);
    fd = talk_open(serving.tls_port);
    talk_say(fd, "GET / HTTP/1.1\r\n\r\n");
    CHECK(talk_until_end(fd, 3000, &in));
    close(fd);
    buf_free(&in);
    serving_end();
}

TEST(lets_go_of_connections_that_were_reset)
{
    open_all();
    for (int i = 0; i < 40; i++) {
        SSL *ssl = call(i % 2 ? "h2" : "http/1.1", i % 3 ? TLS1_3_VERSION : TLS1_2_VERSION);
        REQUIRE(ssl);
        if (i % 2 == 0)
            CHECK(asks(ssl));
        if (i % 4 == 0)
            say(ssl, "GET /never HTTP/1.1\r\nhost: a\r\n\r\n");
        if (i % 8 == 2)
            say(ssl, "GET /flood HTTP/1.1\r\nhost: a\r\n\r\n");
        usleep(5000);
        struct linger hard = {1, 0};
        setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        hang_up(ssl);
    }
    int left = -1;
    for (int i = 0; i < 200 && left != 0; i++) {
        usleep(10000);
        left = http_lane_connections(serving.lanes[0].web);
    }
    CHECK_EQ(left, 0);
    serving_end();
}
