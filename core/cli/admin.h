/* admin.h -- what the commands share that ask a running server. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

struct cli_options;
struct flat;

/* One request; *status is 0 when there was no answer, and the exit code is returned. */
int cli_ask(const struct cli_options *options, const char *method, const char *path,
            struct buf *body, int *status);
/* The same with a JSON body. */
int cli_send(const struct cli_options *options, const char *method, const char *path,
             struct str content, struct buf *body, int *status);
/* A part of a path or a value of a query, percent-encoded. */
void cli_add_encoded(struct buf *out, const char *text);
void cli_print_json(const struct buf *body);
/* Prints what a problem+json says. */
int cli_fail_by_problem(const struct flat *answer, int status);
/* Asks, and hands the answer to print; with --json it is printed as it came, without print. */
int cli_look(const struct cli_options *options, const char *path,
             void (*print)(const struct flat *answer));
/* The same for a change: POST, with a JSON body if content is not empty; print may be NULL. */
int cli_change(const struct cli_options *options, const char *path, struct str content,
               void (*print)(const struct flat *answer));
/* Asks, and prints one table of the answer, or with --json all of it. */
int cli_show(const struct cli_options *options, const char *path, const char *prefix,
             const char *const *columns);
/* Prints the answer of a reload or rollback. */
int cli_print_change(const struct flat *answer, int status);
bool cli_is_name(const char *name); /* of a plugin */
