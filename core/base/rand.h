/* rand.h -- random bytes: the kernel's for secrets, a fast generator for jitter. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *p, size_t n); /* getrandom(2); aborts if the kernel has none */
uint64_t rand_u64(void); /* xoshiro256**, per thread, seeded from the kernel; not for secrets */
double rand_unit(void);  /* [0, 1) */
void rand_uuid7(char out[37]); /* UUID version 7 (RFC 9562) and a NUL */
