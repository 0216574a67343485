#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn static void out_of_memory(size_t bytes)
{
    fprintf(stderr, "out of memory: could not allocate %zu bytes\n", bytes);
    abort();
}

void *mem_alloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p)
        out_of_memory(bytes);
    return p;
}

void *mem_zero(size_t count, size_t bytes)
{
    void *p = calloc(count ? count : 1, bytes ? bytes : 1);
    if (!p)
        out_of_memory(bytes && count > SIZE_MAX / bytes ? SIZE_MAX : count * bytes);
    return p;
}

void *mem_realloc(void *p, size_t bytes)
{
    void *moved = realloc(p, bytes ? bytes : 1);
    if (!moved)
        out_of_memory(bytes);
    return moved;
}

void *mem_dup(const void *p, size_t bytes)
{
    void *copy = mem_alloc(bytes);
    if (bytes > 0)
        memcpy(copy, p, bytes);
    return copy;
}

char *mem_strdup(const char *s)
{
    return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *mem_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = mem_alloc((size_t)n + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

void mem_free(void *p)
{
    free(p);
}
