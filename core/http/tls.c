#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/sys.h"
#include "http/internal.h"
#include "observe/log.h"

enum { CERT_DAYS = 825 }; /* the longest that browsers accept */

struct tls {
    char *cert_file, *key_file;
    pthread_mutex_t lock;
    SSL_CTX *context; /* under lock; connections hold references */
};

static bool tls_fail(struct err *err, const char *what)
{
    char text[200];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return err_set(err, ERR_IO, "tls: %s: %s", what, text);
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool fill_cert(X509 *cert, EVP_PKEY *key, const char *names)
{
    ASN1_INTEGER *serial = X509_get_serialNumber(cert);
    BIGNUM *number = BN_new();
    bool ok = number && BN_rand(number, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number, serial);
    BN_free(number);
    X509_NAME *name = X509_get_subject_name(cert);
    return ok && X509_set_version(cert, 2) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * CERT_DAYS) &&
           X509_set_pubkey(cert, key) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                      (const unsigned char *)"maru (self-signed)", -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(cert, name) == 1 &&
           add_extension(cert, NID_subject_alt_name, names) &&
           add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, NID_ext_key_usage, "serverAuth") &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

static bool write_pem(BIO *bio, const char *path, int mode, struct err *err)
{
    char *bytes;
    long n = BIO_get_mem_data(bio, &bytes);
    return file_write(path, str_n(bytes, (size_t)n), mode, err);
}

/* A self-signed P-256 certificate for localhost and the names given. */
static bool make_cert(const struct tls *tls, const char *const *host_names, struct err *err)
{
    struct buf names = {0};
    buf_add_c(&names, "DNS:localhost,IP:127.0.0.1,IP:::1");
    for (int i = 0; host_names && host_names[i]; i++)
        buf_printf(&names, ",DNS:%s", host_names[i]);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    BIO *key_out = BIO_new(BIO_s_mem()), *cert_out = BIO_new(BIO_s_mem());
    bool ok = key && cert && key_out && cert_out && fill_cert(cert, key, names.p) &&
              PEM_write_bio_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1 &&
              PEM_write_bio_X509(cert_out, cert) == 1;
    if (!ok)
        tls_fail(err, "make a certificate");
    ok = ok && write_pem(key_out, tls->key_file, 0600, err) &&
         write_pem(cert_out, tls->cert_file, 0644, err);
    BIO_free(key_out);
    BIO_free(cert_out);
    X509_free(cert);
    EVP_PKEY_free(key);
    buf_free(&names);
    return ok;
}

static SSL_CTX *make_context(const struct tls *tls, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) {
        tls_fail(err, "make a context");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
    h2o_ssl_register_alpn_protocols(ctx, h2o_alpn_protocols);
    if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, tls->key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        tls_fail(err, tls->cert_file);
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

struct tls *tls_open(const struct http_options *options, struct err *err)
{
    struct tls *tls = mem_zero(1, sizeof *tls);
    pthread_mutex_init(&tls->lock, NULL);
    bool ok = true;
    if (options->cert_file) {
        tls->cert_file = mem_strdup(options->cert_file);
        tls->key_file = mem_strdup(options->key_file ? options->key_file : options->cert_file);
    } else {
        char *dir = mem_printf("%s/tls", options->state_dir);
        tls->cert_file = mem_printf("%s/cert.pem", dir);
        tls->key_file = mem_printf("%s/key.pem", dir);
        struct stat st;
        if (stat(tls->cert_file, &st) != 0 || stat(tls->key_file, &st) != 0)
            ok = dir_make(dir, 0700, err) && make_cert(tls, options->host_names, err);
        mem_free(dir);
    }
    if (ok)
        tls->context = make_context(tls, err);
    if (!tls->context) {
        tls_close(tls);
        return NULL;
    }
    return tls;
}

bool tls_reload(struct tls *tls, struct err *err)
{
    SSL_CTX *fresh = make_context(tls, err);
    if (!fresh)
        return false;
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *old = tls->context;
    tls->context = fresh;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old);
    log_info("http", "certificate read from %s", tls->cert_file);
    return true;
}

SSL_CTX *tls_context(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *ctx = tls->context;
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&tls->lock);
    return ctx;
}

void tls_close(struct tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->context);
    pthread_mutex_destroy(&tls->lock);
    mem_free(tls->cert_file);
    mem_free(tls->key_file);
    mem_free(tls);
}
