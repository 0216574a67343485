/* mem.h -- heap memory that never comes back NULL.
 *
 * Running out of memory ends the process with a message: paths that are never
 * tested would be worse.  Sizes that come from outside are bounded before they
 * get here.
 */
#pragma once

#include <stddef.h>

void *mem_alloc(size_t bytes);              /* uninitialised */
void *mem_zero(size_t count, size_t bytes); /* zeroed; checks the product */
void *mem_realloc(void *p, size_t bytes);   /* NULL p allocates */
void *mem_dup(const void *p, size_t bytes); /* a copy the caller frees */
char *mem_strdup(const char *s);            /* NULL stays NULL */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mem_free(void *p);
