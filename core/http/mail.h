/* mail.h -- outgoing mail by SMTP, on a lane's client.
 *
 * One message to one server, which the operator configured.  Its password goes over TLS only:
 * smtp:// turns to it by STARTTLS, smtps:// begins with it.  The headers are the caller's, whole
 * lines; the body is made here: text and HTML as alternatives, files behind them.
 *
 * Lane thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct http_client;
struct mail;
struct driver_health;

enum { MAIL_RECIPIENTS = 100, MAIL_FILES = 32, MAIL_HEADERS = 64, MAIL_WORDS = 200 };

enum mail_tls { MAIL_TLS_REQUIRED, MAIL_TLS_OFFERED, MAIL_TLS_OFF };

/* Where mail goes: strings live as long as the process. */
struct mail_server {
    const char *url;                  /* smtp://host:port or smtps://; "" = none */
    const char *from;                 /* who sends when a mail does not say; or "" */
    const char *user, *password, *ca; /* or ""; ca: a file with certificates beside the system's */
    enum mail_tls tls;
    int64_t timeout_ns, max_bytes; /* max_bytes: of a message before it is encoded */
    struct driver_health *health;
};

struct mail_file {
    struct str name, type, data;
};

/* Everything is copied. */
struct mail_options {
    const struct mail_server *server;
    struct str from;      /* of the envelope */
    const struct str *to; /* of the envelope: addresses alone */
    int to_count;
    const struct str *headers; /* "Subject: …", without the line's end */
    int header_count;
    struct str text, html; /* either may be empty */
    const struct mail_file *files;
    int file_count;
};

struct mail_refusal {
    int to; /* index of the recipient */
    int status;
    char words[MAIL_WORDS]; /* the server's */
};

/* Borrowed until done returns.  err: ERR_BUSY (4xx), ERR_IO and ERR_TIMEOUT are worth another try,
 * ERR_FORBIDDEN (5xx, login, no TLS) is not.  Without an err it was sent to all but the refused. */
struct mail_result {
    struct err err;
    const struct mail_refusal *refused;
    int refused_count;
};
typedef void mail_done_fn(void *arg, const struct mail_result *result);

/* done is called once, later, unless cancelled before.  NULL with *err: ERR_LIMIT, ERR_CLOSED (no
 * server is configured). */
struct mail *mail_send(struct http_client *client, const struct mail_options *options,
                       mail_done_fn *done, void *arg, struct err *err);
void mail_cancel(struct mail *mail);
