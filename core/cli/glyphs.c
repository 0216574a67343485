#include "cli/glyphs.h"

#include <stdint.h>
#include <stdio.h>

struct range {
    uint32_t from, to;
};

/* East Asian Wide and Fullwidth (UAX #11), the blocks that hold them. */
static const struct range wide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},
    {0xa960, 0xa97c},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
    {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
    {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
};

/* Combining marks, joiners, jamo that stand on another, variation selectors. */
static const struct range narrow[] = {
    {0x0300, 0x036f}, {0x1160, 0x11ff}, {0x200b, 0x200d}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f},
};

/* What a terminal obeys instead of showing it. */
static const struct range steering[] = {
    {0x00, 0x08}, {0x0b, 0x1f}, {0x7f, 0x9f}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069},
};

static bool is_in(const struct range *ranges, size_t n, uint32_t c)
{
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].from && c <= ranges[i].to)
            return true;
    return false;
}

#define IS_IN(ranges, c) is_in(ranges, sizeof(ranges) / sizeof *(ranges), c)

/* The character at p, which has *size bytes; a byte that begins none stands for itself. */
static uint32_t read_one(const char *p, size_t left, int *size)
{
    const unsigned char *b = (const unsigned char *)p;
    int n = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : b[0] >= 0xc0 ? 2 : 1;
    *size = 1;
    if (n == 1 || (size_t)n > left)
        return b[0];
    uint32_t c = b[0] & (0xffU >> (n + 1));
    for (int i = 1; i < n; i++) {
        if ((b[i] & 0xc0) != 0x80)
            return b[0];
        c = c << 6 | (b[i] & 0x3fU);
    }
    *size = n;
    return c;
}

static int columns_of(uint32_t c)
{
    return IS_IN(narrow, c) ? 0 : IS_IN(wide, c) ? 2 : 1;
}

char *glyphs_plain(struct str text)
{
    struct buf out = {0};
    int size;
    for (size_t i = 0; i < text.n; i += (size_t)size) {
        uint32_t c = read_one(text.p + i, text.n - i, &size);
        if (IS_IN(steering, c))
            buf_add_char(&out, '?');
        else
            buf_add(&out, text.p + i, (size_t)size);
    }
    char *plain = str_dup(buf_str(&out));
    buf_free(&out);
    return plain;
}

int glyphs_width(const char *text)
{
    int width = 0, size;
    for (size_t left = strlen(text); left > 0; left -= (size_t)size, text += size)
        width += columns_of(read_one(text, left, &size));
    return width;
}

void glyphs_print(const char *text, int least, int most)
{
    int width = 0, size;
    for (size_t left = strlen(text); left > 0; left -= (size_t)size, text += size) {
        uint32_t c = read_one(text, left, &size);
        if (width + columns_of(c) > most)
            break;
        width += columns_of(c);
        if (c == '\n' || c == '\t')
            putchar(' ');
        else
            printf("%.*s", size, text);
    }
    printf("%*s", width < least ? least - width : 0, "");
}
