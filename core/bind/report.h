/* report.h -- prints what came of specs, in the words of busted's output handlers.
 *
 * A Lua state of its own, in the process that starts the test hosts; it runs no
 * plugin.  Threads: the caller's.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct report;

/* handler: "utfTerminal", "plainTerminal", "TAP", "json" … or NULL for the terminal's.
 * NULL with *err: busted is not installed, or has no such handler. */
struct report *report_open(const char *handler, struct err *err);
void report_file(struct report *report, const char *path); /* the lines that come are its */
/* One line of the spec's, without its end.  False when it says that the spec is through. */
bool report_line(struct report *report, struct str line);
/* The file as a whole failed. */
void report_failure(struct report *report, const char *message);
/* Prints the summary; returns how many tests and files failed. */
int report_close(struct report *report);
