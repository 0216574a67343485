/* Stands in for libsodium where only libc is at hand (cmake/kernels_only.cmake): tells contents
 * apart for tests, and is no BLAKE2b. */
#include <sodium.h>
#include <string.h>

#include "base/map.h"

int crypto_generichash(unsigned char *out, size_t out_n, const unsigned char *in,
                       unsigned long long in_n, const unsigned char *key, size_t key_n)
{
    for (uint64_t at = 0; at < out_n; at += sizeof at) {
        const uint64_t keys[2] = {at, key_n ? hash_keyed((uint64_t[2]){at, 1}, key, key_n) : 0};
        uint64_t word = hash_keyed(keys, in, (size_t)in_n);
        memcpy(out + at, &word, out_n - at < sizeof word ? out_n - at : sizeof word);
    }
    return 0;
}
