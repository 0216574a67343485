#include "vm/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_LINE_BYTES = 400 }; /* longer ones are cut */

/* "/lines.lua:7" behind the folder: the file and the line. */
static bool read_place(const struct bundle *bundle, const char *at, struct frame *out,
                       const char **end)
{
    if (*at != '/')
        return false;
    size_t n = strcspn(at + 1, ":\n");
    const struct bundle_file *file = bundle_find(bundle, str_n(at + 1, n));
    const char *digits = at + 1 + n + 1;
    if (!file || at[1 + n] != ':')
        return false;
    long line = strtol(digits, (char **)(uintptr_t)end, 10);
    if (*end == digits || line < 1 || line > 10000000)
        return false;
    out->file = file;
    out->line = (int)line;
    return true;
}

bool frame_find(const struct bundle *bundle, const char *message, struct frame *out)
{
    size_t dir_n = strlen(bundle->dir);
    *out = (struct frame){.message = str_c(message)};
    for (const char *at = message; (at = strstr(at, bundle->dir)); at += dir_n) {
        const char *end;
        if (!read_place(bundle, at + dir_n, out, &end))
            continue;
        snprintf(out->at, sizeof out->at, "%.*s", (int)(end - at), at);
        if (at == message && *end == ':')
            out->message = str_c(end + 1 + strspn(end + 1, " "));
        return true;
    }
    return false;
}

struct str frame_line(const struct bundle_file *file, int line)
{
    struct str rest = str_n(file->bytes, file->n);
    struct str text = {NULL, 0};
    for (int i = 0; i < line; i++) {
        if (rest.n == 0 && i > 0)
            return str_n(NULL, 0);
        text = str_split(&rest, '\n');
    }
    if (text.n > 0 && text.p[text.n - 1] == '\r')
        text.n--;
    if (!text.p)
        text.p = "";
    return text;
}

void frame_json(struct json *w, const struct bundle_file *file, int line)
{
    json_open(w, '[');
    for (int i = line - FRAME_AROUND; i <= line + FRAME_AROUND; i++) {
        struct str text = i > 0 ? frame_line(file, i) : str_n(NULL, 0);
        if (!text.p)
            continue;
        if (text.n > FRAME_LINE_BYTES)
            text.n = FRAME_LINE_BYTES; /* the writer mends a character cut in two */
        json_open(w, '{');
        json_key(w, "line");
        json_int(w, i);
        json_key(w, "text");
        json_str(w, text);
        json_close(w, '}');
    }
    json_close(w, ']');
}
