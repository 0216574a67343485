/* Any bytes as HTTP/2 frames and as a chunked body: in pieces they mean what they mean whole, and
 * what is passed on of a body the library reads to the same end. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/chunks.h"
#include "http/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct chunks feed(struct str in, size_t step, struct buf *out)
{
    struct chunks chunks = {0};
    size_t at = 0;
    while (at < in.n && chunks.state < CHUNKS_END) {
        size_t n = in.n - at < step ? in.n - at : step;
        size_t used = chunks_feed(&chunks, str_n(in.p + at, n), out);
        if (used > n || (used < n && chunks.state != CHUNKS_END))
            abort();
        at += used;
    }
    return chunks;
}

/* The decoder within libh2o, whose header is not installed. */
struct phr_chunked_decoder {
    size_t bytes_left_in_chunk;
    char consume_trailer, hex_count, state;
};
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *buf, size_t *n);

/* The library's verdict on what was passed on. */
static ssize_t decode(struct buf *bare)
{
    struct phr_chunked_decoder decoder = {.consume_trailer = 1};
    size_t n = bare->n;
    return n == 0 ? -2 : phr_decode_chunked(&decoder, bare->p, &n);
}

static void check_chunks(struct str in)
{
    struct buf whole = {0}, pieces = {0};
    struct chunks once = feed(in, in.n + 1, &whole);
    for (size_t step = 1; step < 8; step += 3) {
        buf_clear(&pieces);
        struct chunks again = feed(in, step, &pieces);
        if (again.state != once.state || !str_eq(buf_str(&whole), buf_str(&pieces)))
            abort();
    }
    ssize_t read = decode(&whole);
    if ((once.state == CHUNKS_END) != (read == 0) || (once.state == CHUNKS_BAD) != (read == -1))
        abort();
    buf_free(&whole);
    buf_free(&pieces);
}

static void check_frames(struct str in)
{
    static const struct frames_limits limits = {20, 20, 500, 30};
    struct frames frames = {0};
    char *copy = mem_dup(in.p, in.n);
    const char *why = frames_check(&frames, in, 0, NS_PER_SECOND, &limits);
    if (!why && (frames.control > limits.control || frames.block > limits.block ||
                 frames.fields.count > limits.block_size))
        abort();
    if (frames_strip(copy, in.n, in.n & 1) > in.n)
        abort();
    mem_free(copy);
}

static void check_fields(const uint8_t *p, size_t n)
{
    struct fields once = {0}, twice = {0};
    size_t cut = n / 2;
    fields_walk(&once, p, n);
    fields_walk(&twice, p, cut);
    fields_walk(&twice, p + cut, n - cut);
    if (once.count != twice.count || once.state != twice.state || once.count > (int)n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_n((const char *)data, size);
    check_chunks(in);
    check_frames(in);
    check_fields(data, size);
    return 0;
}
