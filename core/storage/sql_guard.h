/* sql_guard.h -- statements that people write: one question, and nothing else.
 *
 * What a database lets a reader do reaches further than its tables: files, settings, other
 * sessions.  So functions are allowed by name, and names that begin as those of catalogues do
 * are refused.  The text is read as PostgreSQL reads it; what other databases would read
 * otherwise (escapes in strings, dollar quotes, nested comments) is refused.
 *
 * Threads: any; nothing is kept.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { SQL_QUESTION_BYTES = 64 << 10 };

/* Whether *sql is one SELECT (or WITH, VALUES) that calls nothing but plain functions; a semicolon
 * at its end is cut off.  schemas: names, separated by commas, none of which may stand before a
 * dot.  False with *err: ERR_SQL "line 1 column 8: …", ERR_FORBIDDEN, or ERR_LIMIT. */
bool sql_question(struct str *sql, struct str schemas, struct err *err);
/* Whether a function computes and does nothing else, in all databases that have it. */
bool sql_is_plain_function(struct str name);
/* Whether only catalogues and the host have such names: pg_…, duckdb_…, maru_… */
bool sql_is_reserved(struct str name);
/* Puts "line 2 column 5: " in front of the message; at = bytes before the place.  False. */
bool sql_at(struct str sql, size_t at, struct err *err);
