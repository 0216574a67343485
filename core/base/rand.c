#include "base/rand.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/err.h"

void rand_bytes(void *p, size_t n)
{
    char *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        invariant(got > 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
}

static inline uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

/* xoshiro256** 1.0 (Blackman, Vigna). */
uint64_t rand_u64(void)
{
    static _Thread_local uint64_t s[4];
    while (!(s[0] | s[1] | s[2] | s[3]))
        rand_bytes(s, sizeof s);
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double rand_unit(void)
{
    return (double)(rand_u64() >> 11) * 0x1p-53;
}

void rand_uuid7(char out[37])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[16];
    uint64_t ms = (uint64_t)(clock_wall_ns() / NS_PER_MS);
    rand_bytes(bytes + 6, 10);
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)(ms >> (40 - 8 * i));
    bytes[6] = (unsigned char)(0x70 | (bytes[6] & 0x0F));
    bytes[8] = (unsigned char)(0x80 | (bytes[8] & 0x3F));
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = hex[bytes[i] >> 4];
        *out++ = hex[bytes[i] & 15];
    }
    *out = '\0';
}
