/* json_scan.h -- the inner loop the JSON reader and writer share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bytes from p on that a JSON string holds as they are: no quote, backslash or
 * control byte.  *high becomes true when one of them is not ASCII. */
static inline const char *json_plain(const char *p, const char *end, bool *high)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1F);
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_min_epu8(x, control), x));
        unsigned stops = (unsigned)_mm_movemask_epi8(stop);
        unsigned highs = (unsigned)_mm_movemask_epi8(x);
        if (stops) {
            unsigned at = (unsigned)__builtin_ctz(stops);
            *high |= (highs & ((1U << at) - 1)) != 0;
            return p + at;
        }
        *high |= highs != 0;
    }
#endif
    for (; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == '"' || c == '\\')
            break;
        *high |= c >= 0x80;
    }
    return p;
}
