#include "storage/redis_tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/mem.h"

static bool wrong(struct err *err, const char *what)
{
    char text[120] = "";
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return err_set(err, ERR_INVALID, "redis: TLS: %s: %s", what, text);
}

static bool read_certificates(SSL_CTX *context, const struct redis_url *url, struct err *err)
{
    bool ok = url->ca_file ? SSL_CTX_load_verify_locations(context, url->ca_file, NULL) == 1
                           : SSL_CTX_set_default_verify_paths(context) == 1;
    if (!ok)
        return wrong(err, "authorities");
    const char *key = url->key_file ? url->key_file : url->cert_file;
    if (url->cert_file && (SSL_CTX_use_certificate_chain_file(context, url->cert_file) != 1 ||
                           SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1))
        return wrong(err, "the client's certificate");
    return true;
}

SSL_CTX *redis_tls_context(const struct redis_url *url, struct err *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    invariant(context);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(context, url->unchecked ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (read_certificates(context, url, err))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

SSL *redis_tls_begin(SSL_CTX *context, const char *host, int fd)
{
    SSL *ssl = SSL_new(context);
    invariant(ssl && SSL_set_fd(ssl, fd) == 1);
    X509_VERIFY_PARAM *check = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(check, host) != 1) {
        SSL_set1_host(ssl, host);
        SSL_set_tlsext_host_name(ssl, host);
    }
    SSL_set_connect_state(ssl);
    return ssl;
}

bool redis_tls_failed(const SSL *ssl, int reason, struct err *err)
{
    char text[120] = "";
    long verified = SSL_get_verify_result(ssl);
    if (verified != X509_V_OK && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE)
        snprintf(text, sizeof text, "%s", X509_verify_cert_error_string(verified));
    else if (reason == SSL_ERROR_SYSCALL || reason == SSL_ERROR_ZERO_RETURN)
        snprintf(text, sizeof text, "the connection was closed");
    else
        ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return err_set(err, ERR_IO, "redis: TLS: %s", text);
}
