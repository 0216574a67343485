/* kafka_conf.c -- what librdkafka is told, and its words for what went wrong. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sys.h"
#include "events/kafka.h"
#include "observe/log.h"

enum { FILE_BYTES = 1 << 20 };

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char why[300] = "";
    if (rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return true;
    bool secret = strstr(name, "password") || strstr(name, "secret") || strstr(name, "key.pem");
    return err_set(err, ERR_INVALID, "events.kafka: %s%s%s", name, secret ? "" : ": ",
                   secret ? " was not accepted" : why);
}

/* Without the blanks at its end. */
static const char *read_value(const char *path, struct buf *out, struct err *err)
{
    if (!file_read(path, FILE_BYTES, out, err)) {
        err_wrap(err, "events.kafka");
        return NULL;
    }
    while (out->n && isspace((unsigned char)out->p[out->n - 1]))
        out->n--;
    buf_add_char(out, 0);
    return out->p;
}

/* "name=value", where value may say where the real one is. */
static bool set_property(rd_kafka_conf_t *conf, const char *property, struct err *err)
{
    struct buf text = {0};
    const char *equals = strchr(property, '='), *value = equals ? equals + 1 : NULL;
    if (!equals)
        return err_set(err, ERR_INVALID, "events.kafka: \"%s\" is not name=value", property);
    char *name = str_dup(str_trim(str_n(property, (size_t)(equals - property))));
    bool secret = strcmp(name, "sasl.password") == 0 || strcmp(name, "ssl.key.password") == 0 ||
                  strcmp(name, "ssl.keystore.password") == 0 || strcmp(name, "ssl.key.pem") == 0 ||
                  strcmp(name, "sasl.oauthbearer.client.secret") == 0;
    bool ok = true;
    if (strncmp(value, "env:", 4) == 0) {
        value = getenv(value + 4);
        ok = value || err_set(err, ERR_INVALID, "events.kafka: %s: %s is not in the environment",
                              name, equals + 5);
    } else if (strncmp(value, "file:", 5) == 0) {
        value = read_value(value + 5, &text, err);
        ok = value != NULL;
    } else if (secret)
        ok = err_set(err, ERR_INVALID,
                     "events.kafka: %s must come from env:NAME or file:PATH, not stand here", name);
    ok = ok && set(conf, name, value, err);
    mem_free(name);
    buf_free(&text);
    return ok;
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    if (level <= 3)
        log_warn("kafka", "%s: %s", facility, text);
    else
        log_debug("kafka", "%s: %s", facility, text);
}

static bool set_all(rd_kafka_conf_t *conf, const struct kafka_property *list, struct err *err)
{
    bool ok = true;
    for (; ok && list->name; list++)
        ok = set(conf, list->name, list->value, err);
    return ok;
}

rd_kafka_conf_t *kafka_conf(struct kafka *k, const char *client,
                            const struct kafka_property *defaults,
                            const struct kafka_property *fixed, struct err *err)
{
    const struct events_options *o = &k->events->options;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char *id = mem_printf("maru-%s-%s", o->node, client);
    const struct kafka_property common[] = {{"client.id", id},
                                            {"log.connection.close", "false"},
                                            {"reconnect.backoff.max.ms", "2000"},
                                            {"socket.keepalive.enable", "true"},
                                            {NULL, NULL}};
    bool ok = set_all(conf, common, err) && set_all(conf, defaults, err);
    for (int i = 0; ok && i < o->property_count; i++)
        ok = !o->properties[i][0] || set_property(conf, o->properties[i], err);
    ok = ok && set(conf, "bootstrap.servers", o->url, err) && set_all(conf, fixed, err);
    mem_free(id);
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (ok)
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

bool kafka_topic(const struct kafka *k, struct str topic, char out[KAFKA_TOPIC_BYTES])
{
    int n = snprintf(out, KAFKA_TOPIC_BYTES, "%s%.*s", k->events->options.prefix, (int)topic.n,
                     topic.p);
    return n > 0 && n < KAFKA_TOPIC_BYTES;
}

const char *kafka_untopic(const struct kafka *k, const char *name)
{
    size_t n = strlen(k->events->options.prefix);
    bool ours = strncmp(name, k->events->options.prefix, n) == 0 && strncmp(name, "__", 2) != 0;
    return ours && event_topic_ok(str_c(name + n)) ? name + n : NULL;
}

static enum err_code code_of(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return ERR_BUSY;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
        return ERR_TIMEOUT;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return ERR_LIMIT;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return ERR_FORBIDDEN;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return ERR_NOT_FOUND;
    default:
        return ERR_IO;
    }
}

bool kafka_err(struct err *err, rd_kafka_resp_err_t code, const char *what)
{
    return err_set(err, code_of(code), "kafka: %s: %s", what, rd_kafka_err2str(code));
}
