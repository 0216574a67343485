#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Cuts what snprintf truncated back to a whole UTF-8 character. */
static void cut(char *message, int wanted)
{
    if (wanted < ERR_MESSAGE_BYTES)
        return;
    size_t n = strlen(message), at = n;
    while (at > 0 && n - at < 4 && ((unsigned char)message[at - 1] & 0xC0) == 0x80)
        at--;
    if (at == 0)
        return;
    unsigned char lead = (unsigned char)message[at - 1];
    size_t width = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (width > n - at + 1)
        message[at - 1] = '\0';
}

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
    char text[ERR_MESSAGE_BYTES]; /* apart, so that an argument may be err->message */
    va_list args;
    va_start(args, format);
    cut(text, vsnprintf(text, sizeof text, format, args));
    va_end(args);
    err->code = code;
    err->sys = 0;
    memcpy(err->message, text, strlen(text) + 1);
    return false;
}

bool err_sys(struct err *err, int sys, const char *format, ...)
{
    char text[ERR_MESSAGE_BYTES], reason[128];
    va_list args;
    va_start(args, format);
    cut(text, vsnprintf(text, sizeof text, format, args));
    va_end(args);
    err_set(err, ERR_IO, "%s: %s", text, strerror_r(sys, reason, sizeof reason));
    err->sys = sys;
    return false;
}

bool err_wrap(struct err *err, const char *format, ...)
{
    char context[ERR_MESSAGE_BYTES];
    va_list args;
    int sys = err->sys;
    va_start(args, format);
    cut(context, vsnprintf(context, sizeof context, format, args));
    va_end(args);
    err_set(err, err->code, "%s: %s", context, err->message);
    err->sys = sys;
    return false;
}

void err_clear(struct err *err)
{
    *err = (struct err){0};
}

const char *err_code_name(enum err_code code)
{
    static const char *const names[] = {
        /* ORDER err_code */
        "none",     "invalid", "not_found",   "exists",      "conflict",   "limit",
        "full",     "timeout", "cancelled",   "io",          "corrupt",    "sql",
        "lua",      "memory",  "closed",      "forbidden",   "constraint", "unique",
        "readonly", "busy",    "quarantined", "unavailable",
    };
    return (size_t)code < sizeof names / sizeof *names ? names[code] : "unknown";
}

_Noreturn void invariant_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "maru: %s:%d: broken invariant: %s\n", file, line, condition);
    abort();
}
