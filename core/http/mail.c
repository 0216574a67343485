#include "http/mail.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/fetch.h"
#include "observe/drivers.h"

struct mail {
    struct transfer transfer; /* first */
    struct list in_client;
    struct http_client *client;
    const struct mail_server *server;
    mail_done_fn *done;
    void *arg;
    CURL *easy;
    curl_mime *mime;
    struct curl_slist *to, *headers;
    int to_count;
    /* the conversation */
    int asked;   /* recipients named so far */
    bool naming; /* the next answer is about recipient asked - 1 */
    int status;  /* of the last answer */
    char words[MAIL_WORDS], part[MAIL_WORDS];
    struct mail_refusal refused[MAIL_RECIPIENTS];
    int refused_count;
};

/* -- what the server says -- */

static void take_words(char out[MAIL_WORDS], struct str line)
{
    size_t n = strlen(out);
    line = str_trim(line);
    for (size_t i = 0; i < line.n && n < MAIL_WORDS - 1; i++)
        out[n++] = (unsigned char)line.p[i] < 0x20 || line.p[i] == 0x7f ? ' ' : line.p[i];
    out[n] = '\0';
}

/* "250-" goes on, "250 " is the last line of an answer. */
static void take_line(struct mail *m, struct str line)
{
    if (line.n < 4 || !isdigit((unsigned char)line.p[0]))
        return;
    take_words(m->part, str_n(line.p + 4, line.n - 4));
    if (line.p[3] == '-')
        return;
    m->status = atoi(line.p);
    snprintf(m->words, sizeof m->words, "%s", m->part);
    m->part[0] = '\0';
    if (m->naming && m->status >= 400 && m->refused_count < MAIL_RECIPIENTS) {
        struct mail_refusal *r = &m->refused[m->refused_count++];
        r->to = m->asked - 1;
        r->status = m->status;
        memcpy(r->words, m->words, sizeof r->words);
    }
    m->naming = false;
}

static void take_command(struct mail *m, struct str line)
{
    if (!str_starts(line, STR("RCPT TO:")))
        return;
    m->asked++;
    m->naming = true;
}

/* The only place where curl tells which answer belongs to which recipient.  What goes out holds the
 * password and is looked at for nothing but its first word. */
static int on_talk(CURL *easy, curl_infotype type, char *bytes, size_t n, void *arg)
{
    (void)easy;
    if (type == CURLINFO_HEADER_IN)
        take_line(arg, str_n(bytes, n));
    else if (type == CURLINFO_HEADER_OUT)
        take_command(arg, str_n(bytes, n));
    return 0;
}

/* -- the message -- */

static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] >= 0x80)
            return false;
    return true;
}

static void add_text(curl_mime *mime, struct str text, const char *type)
{
    curl_mimepart *part = curl_mime_addpart(mime);
    curl_mime_data(part, text.p, text.n);
    curl_mime_type(part, type);
    curl_mime_encoder(part, is_ascii(text) ? "quoted-printable" : "base64");
}

/* RFC 2231: curl would send the bytes of the name as they are. */
static void add_name(curl_mimepart *part, struct str name)
{
    struct buf line = {0};
    buf_add_c(&line, "Content-Disposition: attachment; filename*=UTF-8''");
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (isalnum(c) || strchr("-._~", c))
            buf_add_char(&line, (char)c);
        else
            buf_printf(&line, "%%%02X", c);
    }
    buf_add_char(&line, '\0');
    curl_mime_headers(part, curl_slist_append(NULL, line.p), 1);
    buf_free(&line);
}

static void add_file(curl_mime *mime, const struct mail_file *file)
{
    curl_mimepart *part = curl_mime_addpart(mime);
    char *type = file->type.n ? str_dup(file->type) : mem_strdup("application/octet-stream");
    curl_mime_data(part, file->data.n ? file->data.p : "", file->data.n);
    curl_mime_type(part, type);
    curl_mime_encoder(part, "base64");
    add_name(part, file->name);
    mem_free(type);
}

static void add_body(struct mail *m, const struct mail_options *o)
{
    curl_mime *mime = m->mime = curl_mime_init(m->easy), *words = mime;
    if (o->text.n && o->html.n) {
        curl_mimepart *part = curl_mime_addpart(mime);
        words = curl_mime_init(m->easy);
        curl_mime_subparts(part, words);
        curl_mime_type(part, "multipart/alternative");
    }
    if (o->text.n || !o->html.n)
        add_text(words, o->text.n ? o->text : STR("\r\n"), "text/plain; charset=utf-8");
    if (o->html.n)
        add_text(words, o->html, "text/html; charset=utf-8");
    for (int i = 0; i < o->file_count; i++)
        add_file(mime, &o->files[i]);
}

static struct curl_slist *append(struct curl_slist *list, const char *format, struct str text)
{
    char *line = mem_printf(format, (int)text.n, text.p);
    list = curl_slist_append(list, line);
    mem_free(line);
    return list;
}

/* -- sending -- */

static void mail_free(struct mail *m)
{
    list_remove(&m->in_client);
    curl_multi_remove_handle(m->client->multi, m->easy);
    curl_easy_cleanup(m->easy);
    curl_mime_free(m->mime);
    curl_slist_free_all(m->to);
    curl_slist_free_all(m->headers);
    mem_free(m);
}

static void refuse(struct err *err, int status, const char *words)
{
    err_set(err, status < 500 ? ERR_BUSY : ERR_FORBIDDEN, "the mail server answered %d %s", status,
            words);
}

static void judge(const struct mail *m, CURLcode code, struct err *err)
{
    if (code == CURLE_OK) /* curl says so, too, when it gave up behind the last recipient */
        return;
    if (code == CURLE_LOGIN_DENIED)
        err_set(err, ERR_FORBIDDEN, "the mail server does not take mail.user and mail.password%s%s",
                *m->words ? ": " : "", m->words);
    else if (code == CURLE_USE_SSL_FAILED)
        err_set(err, ERR_FORBIDDEN,
                "the mail server offers no STARTTLS; mail.starttls = \"off\" goes without");
    else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        err_set(err, ERR_FORBIDDEN, "the mail server's certificate is not trusted: %s",
                curl_easy_strerror(code));
    else if (code == CURLE_OPERATION_TIMEDOUT)
        err_set(err, ERR_TIMEOUT, "the mail server did not answer within %lld s",
                (long long)(m->server->timeout_ns / NS_PER_SECOND));
    else if (m->refused_count == m->to_count && m->to_count)
        refuse(err, m->refused[0].status, m->refused[0].words);
    else if (m->status >= 400)
        refuse(err, m->status, m->words);
    else
        err_set(err, ERR_IO, "mail: %s", curl_easy_strerror(code));
}

static void tell_health(const struct mail *m, const struct err *err)
{
    bool down = err->code == ERR_IO || err->code == ERR_TIMEOUT ||
                (err->code == ERR_FORBIDDEN && !m->asked);
    if (down)
        driver_health_down(m->server->health, err);
    else
        driver_health_up(m->server->health);
}

static void on_ended(struct transfer *transfer, CURLcode code)
{
    struct mail *m = (struct mail *)transfer;
    struct mail_result result = {.refused = m->refused, .refused_count = m->refused_count};
    judge(m, code, &result.err);
    tell_health(m, &result.err);
    m->done(m->arg, &result);
    mail_free(m);
}

static bool check(const struct mail_options *o, struct err *err)
{
    int64_t bytes = (int64_t)(o->text.n + o->html.n);
    for (int i = 0; i < o->file_count; i++)
        bytes += (int64_t)o->files[i].data.n;
    if (!o->server || !*o->server->url)
        return err_set(
            err, ERR_CLOSED,
            "no mail server is configured: mail.url = \"smtp://host:587\" (and mail.from, "
            "mail.user, MARU_MAIL_PASSWORD) names one");
    if (o->to_count < 1 || o->to_count > MAIL_RECIPIENTS)
        return err_set(err, ERR_LIMIT, "a mail has 1 to %d recipients, not %d", MAIL_RECIPIENTS,
                       o->to_count);
    return bytes <= o->server->max_bytes ||
           err_set(err, ERR_LIMIT, "the mail has %lld bytes; mail.max_bytes is %lld",
                   (long long)bytes, (long long)o->server->max_bytes);
}

static void set_server(const struct mail *m)
{
    const struct mail_server *s = m->server;
    static const long uses[] = {[MAIL_TLS_REQUIRED] = CURLUSESSL_ALL,
                                [MAIL_TLS_OFFERED] = CURLUSESSL_TRY,
                                [MAIL_TLS_OFF] = CURLUSESSL_NONE};
    curl_easy_setopt(m->easy, CURLOPT_URL, s->url);
    curl_easy_setopt(m->easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(m->easy, CURLOPT_USE_SSL, uses[s->tls]);
    curl_easy_setopt(m->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(m->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(m->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(m->easy, CURLOPT_TIMEOUT_MS, (long)(s->timeout_ns / NS_PER_MS));
    if (*s->ca)
        curl_easy_setopt(m->easy, CURLOPT_CAINFO, s->ca);
    if (*s->user)
        curl_easy_setopt(m->easy, CURLOPT_USERNAME, s->user);
    if (*s->password)
        curl_easy_setopt(m->easy, CURLOPT_PASSWORD, s->password);
}

static size_t drop(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes;
    (void)arg;
    return size * count;
}

struct mail *mail_send(struct http_client *client, const struct mail_options *o, mail_done_fn *done,
                       void *arg, struct err *err)
{
    if (!check(o, err))
        return NULL;
    struct mail *m = mem_zero(1, sizeof *m);
    m->transfer.ended = on_ended;
    m->client = client;
    m->server = o->server;
    m->done = done;
    m->arg = arg;
    m->to_count = o->to_count;
    m->easy = curl_easy_init();
    for (int i = 0; i < o->to_count; i++)
        m->to = append(m->to, "<%.*s>", o->to[i]);
    for (int i = 0; i < o->header_count; i++)
        m->headers = append(m->headers, "%.*s", o->headers[i]);
    set_server(m);
    add_body(m, o);
    char *from = mem_printf("<%.*s>", (int)o->from.n, o->from.p);
    curl_easy_setopt(m->easy, CURLOPT_MAIL_FROM, from);
    mem_free(from);
    curl_easy_setopt(m->easy, CURLOPT_MAIL_RCPT, m->to);
    curl_easy_setopt(m->easy, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
    curl_easy_setopt(m->easy, CURLOPT_HTTPHEADER, m->headers);
    curl_easy_setopt(m->easy, CURLOPT_MIMEPOST, m->mime);
    curl_easy_setopt(m->easy, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(m->easy, CURLOPT_DEBUGFUNCTION, on_talk);
    curl_easy_setopt(m->easy, CURLOPT_DEBUGDATA, m);
    curl_easy_setopt(m->easy, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(m->easy, CURLOPT_PRIVATE, &m->transfer);
    list_push_back(&client->mails, &m->in_client);
    curl_multi_add_handle(client->multi, m->easy);
    return m;
}

void mail_cancel(struct mail *mail)
{
    mail_free(mail);
}

void mail_cancel_all(struct http_client *client)
{
    while (!list_empty(&client->mails))
        mail_free(list_entry(client->mails.next, struct mail, in_client));
}
