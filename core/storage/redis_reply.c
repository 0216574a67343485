/* redis_reply.c -- what the server says, and what its refusals mean. */
#include "storage/redis_private.h"

bool redis_begins(const redisReply *reply, const char *word)
{
    return strncmp(reply->str, word, strlen(word)) == 0;
}

static bool any_of(const redisReply *reply, const char *const *words)
{
    for (; *words; words++)
        if (redis_begins(reply, *words))
            return true;
    return false;
}

static enum err_code refusal(const redisReply *reply)
{
    static const char *const away[] = {"LOADING",     "READONLY",   "MASTERDOWN", "MISCONF",
                                       "CLUSTERDOWN", "NOREPLICAS", NULL};
    static const char *const no_entry[] = {"NOAUTH", "WRONGPASS", "NOPERM", NULL};
    if (any_of(reply, away))
        return ERR_UNAVAILABLE;
    if (any_of(reply, no_entry))
        return ERR_FORBIDDEN;
    if (redis_begins(reply, "OOM"))
        return ERR_FULL;
    return redis_begins(reply, "BUSY") ? ERR_BUSY : ERR_INVALID;
}

void redis_set_refusal(struct err *err, const redisReply *reply)
{
    bool cluster = redis_begins(reply, "MOVED ") || redis_begins(reply, "ASK ") ||
                   redis_begins(reply, "CROSSSLOT");
    err_set(err, refusal(reply), "redis: %s%s", reply->str,
            cluster ? " -- this is a cluster; maru needs one server" : "");
}

bool redis_is_lost(const redisReply *reply, const struct err *err)
{
    return err->code == ERR_UNAVAILABLE || redis_begins(reply, "NOAUTH");
}

struct str redis_reply_text(const redisReply *reply)
{
    bool text = reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS);
    return text ? str_n(reply->str, reply->len) : str_n("", 0);
}

int64_t redis_reply_int(const redisReply *reply)
{
    long long value = 0;
    if (reply && reply->type == REDIS_REPLY_INTEGER)
        return reply->integer;
    str_int64(redis_reply_text(reply), &value);
    return value;
}
