/* server_mail.c -- the mail server that app.mail sends by. */
#include <string.h>

#include "config/config.h"
#include "observe/drivers.h"
#include "server_parts.h"

static bool read_tls(const char *word, bool password, enum mail_tls *out, struct err *err)
{
    static const struct {
        const char *word;
        enum mail_tls tls;
    } known[] = {
        {"required", MAIL_TLS_REQUIRED}, {"offered", MAIL_TLS_OFFERED}, {"off", MAIL_TLS_OFF}};
    *out = password ? MAIL_TLS_REQUIRED : MAIL_TLS_OFFERED;
    if (strcmp(word, "auto") == 0)
        return true;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(word, known[i].word) == 0) {
            *out = known[i].tls;
            return true;
        }
    return err_set(err, ERR_INVALID,
                   "mail.starttls is \"auto\", \"required\", \"offered\" or \"off\", not \"%s\"",
                   word);
}

bool mail_part_start(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    struct mail_server *m = &s->mail;
    *m = (struct mail_server){.url = config_text(c, "mail.url"),
                              .from = config_text(c, "mail.from"),
                              .user = config_text(c, "mail.user"),
                              .password = config_text(c, "mail.password"),
                              .ca = config_text(c, "mail.ca"),
                              .timeout_ns = config_ns(c, "mail.timeout"),
                              .max_bytes = config_bytes(c, "mail.max_bytes")};
    if (!read_tls(config_text(c, "mail.starttls"), *m->password, &m->tls, err))
        return false;
    if (!*m->url)
        return true;
    if (strncmp(m->url, "smtp://", 7) != 0 && strncmp(m->url, "smtps://", 8) != 0)
        return err_set(err, ERR_INVALID, "mail.url is smtp://host:port or smtps://host:port");
    m->health = driver_health_register("mail", "smtp", false);
    driver_health_address(m->health, m->url);
    return true;
}

void mail_part_stop(struct server *s)
{
    driver_health_unregister(s->mail.health);
}
