#include <stdint.h>
#include <string.h>

#include "kernels/floats.h"

enum { GROUP = 4, GROUP_BYTES = 3, ALIEN = 0x80 };

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t floats_base64_bytes(size_t n)
{
    return (n * sizeof(float) + GROUP_BYTES - 1) / GROUP_BYTES * GROUP;
}

void floats_to_base64(const float *values, size_t n, char *text)
{
    const unsigned char *p = (const void *)values;
    for (size_t left = n * sizeof *values; left; text += GROUP) {
        size_t take = left < GROUP_BYTES ? left : GROUP_BYTES;
        uint32_t bits = (uint32_t)p[0] << 16;
        bits |= take > 1 ? (uint32_t)p[1] << 8 : 0;
        bits |= take > 2 ? p[2] : 0;
        for (size_t i = 0; i < GROUP; i++)
            text[i] = i <= take ? letters[bits >> (18 - 6 * i) & 63] : '=';
        p += take, left -= take;
    }
}

/* What a letter stands for; ALIEN for what is none. */
static const unsigned char *table(void)
{
    static const unsigned char values[256] = {
#define ROW(a, b, c, d) a, b, c, d
#define NONE            ROW(ALIEN, ALIEN, ALIEN, ALIEN)
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        ROW(ALIEN, ALIEN, ALIEN, 62),
        ROW(ALIEN, ALIEN, ALIEN, 63),
        ROW(52, 53, 54, 55),
        ROW(56, 57, 58, 59),
        ROW(60, 61, ALIEN, ALIEN),
        NONE,
        ROW(ALIEN, 0, 1, 2),
        ROW(3, 4, 5, 6),
        ROW(7, 8, 9, 10),
        ROW(11, 12, 13, 14),
        ROW(15, 16, 17, 18),
        ROW(19, 20, 21, 22),
        ROW(23, 24, 25, ALIEN),
        NONE,
        ROW(ALIEN, 26, 27, 28),
        ROW(29, 30, 31, 32),
        ROW(33, 34, 35, 36),
        ROW(37, 38, 39, 40),
        ROW(41, 42, 43, 44),
        ROW(45, 46, 47, 48),
        ROW(49, 50, 51, ALIEN),
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
        NONE,
#undef NONE
#undef ROW
    };
    return values;
}

/* The last group, of which `pad` letters are '='. */
static bool read_end(const unsigned char *p, size_t pad, unsigned char *to)
{
    const unsigned char *of = table();
    uint32_t third = pad == 2 ? 0 : of[p[2]];
    uint32_t bits = (uint32_t)of[p[0]] << 18 | (uint32_t)of[p[1]] << 12 | third << 6;
    if ((of[p[0]] | of[p[1]] | third) & ALIEN || (bits & (pad == 2 ? 0xFFFF : 0xFF)))
        return false;
    to[0] = (unsigned char)(bits >> 16);
    if (pad == 1)
        to[1] = (unsigned char)(bits >> 8);
    return true;
}

bool floats_of_base64(struct str text, float *out, size_t *n)
{
    const unsigned char *p = (const void *)text.p, *of = table();
    unsigned char *to = (void *)out;
    size_t pad = text.n < GROUP ? 0 : text.p[text.n - 2] == '=' ? 2 : text.p[text.n - 1] == '=';
    size_t whole = text.n / GROUP - (pad > 0), bytes = whole * GROUP_BYTES + (pad ? 3 - pad : 0);
    uint32_t seen = 0;
    if (text.n % GROUP || bytes % sizeof(float))
        return false;
    for (size_t i = 0; i < whole; i++, p += GROUP, to += GROUP_BYTES) {
        uint32_t a = of[p[0]], b = of[p[1]], c = of[p[2]], d = of[p[3]];
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        seen |= a | b | c | d;
        to[0] = (unsigned char)(bits >> 16);
        to[1] = (unsigned char)(bits >> 8);
        to[2] = (unsigned char)bits;
    }
    *n = bytes / sizeof(float);
    return !(seen & ALIEN) && (!pad || read_end(p, pad, to));
}
