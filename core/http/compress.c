#include <zlib.h>

#include "base/mem.h"
#include "http/internal.h"
#include "http/validate.h"

enum {
    COMPRESS_LEAST_BYTES = 1025,
    COMPRESS_MOST_BYTES = 8 << 20, /* larger answers would hold the lane */
    COMPRESS_LEVEL = 1,
    COMPRESS_GZIP = 15 + 16, /* window bits and the gzip wrapper */
};

static bool is_compressible(struct str type)
{
    static const struct str kinds[] = {{"application/json", 16},
                                       {"text/", 5},
                                       {"application/problem+json", 24},
                                       {"image/svg+xml", 13},
                                       {"application/xml", 15}};
    if (str_starts(type, STR("text/event-stream")))
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_starts(type, kinds[i]))
            return true;
    return false;
}

bool compress_wanted(const struct http_request *r, struct str type, size_t n, bool *vary)
{
    *vary = n >= COMPRESS_LEAST_BYTES && n <= COMPRESS_MOST_BYTES && is_compressible(type) &&
            h2o_find_header(&r->req->res.headers, H2O_TOKEN_CONTENT_ENCODING, -1) < 0;
    if (!*vary)
        return false;
    struct str accept = request_token(r, H2O_TOKEN_ACCEPT_ENCODING);
    return accept.p && encoding_accepted(accept, "gzip");
}

/* One deflate state per lane: making one costs more than most answers. */
static z_stream *lane_stream(struct http_lane *lane)
{
    z_stream *z = lane->deflate;
    if (z)
        return deflateReset(z) == Z_OK ? z : NULL;
    z = mem_zero(1, sizeof *z);
    if (deflateInit2(z, COMPRESS_LEVEL, Z_DEFLATED, COMPRESS_GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        mem_free(z);
        return NULL;
    }
    lane->deflate = z;
    return z;
}

bool compress_body(struct http_lane *lane, struct str body, struct buf *out)
{
    if (body.n < COMPRESS_LEAST_BYTES || body.n > COMPRESS_MOST_BYTES)
        return false;
    z_stream *z = lane_stream(lane);
    if (!z)
        return false;
    buf_reserve(out, deflateBound(z, (uLong)body.n));
    z->next_in = (Bytef *)(uintptr_t)body.p;
    z->avail_in = (uInt)body.n;
    z->next_out = (Bytef *)out->p;
    z->avail_out = (uInt)out->cap;
    if (deflate(z, Z_FINISH) != Z_STREAM_END || z->total_out >= body.n) {
        buf_free(out);
        return false;
    }
    out->n = z->total_out;
    return true;
}

void compress_destroy(struct http_lane *lane)
{
    if (lane->deflate)
        deflateEnd(lane->deflate);
    mem_free(lane->deflate);
    lane->deflate = NULL;
}
