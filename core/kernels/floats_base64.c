#include <stdint.h>
#include <string.h>

#include "kernels/floats.h"

enum { GROUP = 4, GROUP_BYTES = 3, VALUE_MOST = 63 };

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

/* Of each letter, what it stands for and 1 more. */
static const unsigned char places[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64};

/* Over 63 for what is no letter. */
static uint32_t value_of(unsigned char letter)
{
    return (uint32_t)places[letter] - 1;
}

/* The last group, of which `pad` letters are '='. */
static bool read_end(const unsigned char *p, size_t pad, unsigned char *to)
{
    uint32_t first = value_of(p[0]), second = value_of(p[1]), third = pad == 2 ? 0 : value_of(p[2]);
    uint32_t bits = first << 18 | second << 12 | third << 6;
    if ((first | second | third) > VALUE_MOST || (bits & (pad == 2 ? 0xFFFF : 0xFF)))
        return false;
    to[0] = (unsigned char)(bits >> 16);
    if (pad == 1)
        to[1] = (unsigned char)(bits >> 8);
    return true;
}

bool floats_of_base64(struct str text, float *out, size_t *n)
{
    const unsigned char *p = (const void *)text.p;
    unsigned char *to = (void *)out;
    bool padded = text.n >= GROUP && text.p[text.n - 1] == '=';
    size_t pad = padded ? 1 + (text.p[text.n - 2] == '=') : 0;
    size_t whole = text.n / GROUP - (pad > 0), bytes = whole * GROUP_BYTES + (pad ? 3 - pad : 0);
    uint32_t seen = 0;
    if (text.n % GROUP || bytes % sizeof(float))
        return false;
    for (size_t i = 0; i < whole; i++, p += GROUP, to += GROUP_BYTES) {
        uint32_t a = value_of(p[0]), b = value_of(p[1]), c = value_of(p[2]), d = value_of(p[3]);
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        seen |= a | b | c | d;
        to[0] = (unsigned char)(bits >> 16);
        to[1] = (unsigned char)(bits >> 8);
        to[2] = (unsigned char)bits;
    }
    *n = bytes / sizeof(float);
    return seen <= VALUE_MOST && (!pad || read_end(p, pad, to));
}
