/* log.h -- structured log: one JSON object a line, and a ring of the newest.
 *
 * {"at":"…Z","level":"info","area":"jobs","plugin":"name@gen","message":"…",…fields}
 * Thread-safe; a line is written by one write(2).  Fields are the inside of a
 * JSON object (`"key":value,…`) or "".
 */
#pragma once

#include <stdint.h>

#include "base/json.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR }; /* ORDER log_level */

enum { LOG_RING_LINES = 2000, LOG_LINE_BYTES = 8192 };

/* Where lines go and from which level on; fd < 0 keeps only the ring. */
void log_setup(int fd, enum log_level least);
bool log_enabled(enum log_level level);
bool log_level_parse(struct str text, enum log_level *out);
const char *log_level_name(enum log_level level);

/* One more place for lines, from then on; NULL takes it away, and when that returned it is not
 * called any more.  Called under a lock on the thread that writes: it may not wait or log. */
struct log_line {
    enum log_level level;
    int64_t at_wall;
    const char *area, *plugin; /* plugin may be NULL */
    struct str message, fields;
};
void log_sink(void (*take)(void *arg, const struct log_line *line), void *arg);

/* plugin may be NULL. */
void log_write(enum log_level level, const char *area, const char *plugin, struct str message,
               struct str fields);
void log_debug(const char *area, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_info(const char *area, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_warn(const char *area, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_error(const char *area, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends to out a JSON array of the ring's lines (each {"seq",at,level,area,
 * plugin,message,"fields":{}}) newer than `after`, at least `least`, of `plugin`
 * ("" = any; compares the name before '@'), the newest `limit`, oldest first.
 * Returns the newest seq there is. */
uint64_t log_recent(struct buf *out, uint64_t after, enum log_level least, struct str plugin,
                    int limit);
