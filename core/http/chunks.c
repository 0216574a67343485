#include "http/chunks.h"

#include <string.h>

#include "http/head.h"

enum { CHUNKS_DIGITS_MOST = 16 };

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* HTAB, printable and bytes over ASCII: what may stand in an extension or a trailer's value. */
static bool is_text(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static enum chunks_state take_digit(struct chunks *c, unsigned char byte)
{
    int value = hex_value(byte);
    if (value < 0 || ++c->digits > CHUNKS_DIGITS_MOST || c->left >> 59 != 0)
        return CHUNKS_BAD;
    c->left = c->left << 4 | (uint64_t)value;
    return CHUNKS_DIGITS;
}

static enum chunks_state after_digit(struct chunks *c, unsigned char byte)
{
    if (byte == '\r')
        return CHUNKS_SIZE_LF;
    return byte == ';' ? CHUNKS_EXTENSION : take_digit(c, byte);
}

/* The end of a size line: the size is passed on, but that of the last chunk, which waits for the
 * end of the trailers. */
static enum chunks_state end_size(struct chunks *c, struct buf *out)
{
    if (c->left == 0)
        return CHUNKS_TRAILER;
    if (c->bound && c->left > c->most) {
        buf_add_c(out, "0\r\n\r\n");
        return CHUNKS_OVER;
    }
    c->most -= c->bound ? c->left : 0;
    buf_printf(out, "%llx\r\n", (unsigned long long)c->left);
    return CHUNKS_DATA;
}

static enum chunks_state extra(struct chunks *c, bool good, enum chunks_state next)
{
    return good && ++c->extra <= CHUNKS_EXTRA ? next : CHUNKS_BAD;
}

static enum chunks_state step(struct chunks *c, unsigned char byte, struct buf *out)
{
    switch (c->state) {
    case CHUNKS_SIZE:
        c->digits = 0;
        return take_digit(c, byte);
    case CHUNKS_DIGITS:
        return after_digit(c, byte);
    case CHUNKS_EXTENSION:
        return byte == '\r' ? CHUNKS_SIZE_LF : extra(c, is_text(byte), CHUNKS_EXTENSION);
    case CHUNKS_SIZE_LF:
        return byte == '\n' ? end_size(c, out) : CHUNKS_BAD;
    case CHUNKS_DATA_CR:
        return byte == '\r' ? CHUNKS_DATA_LF : CHUNKS_BAD;
    case CHUNKS_DATA_LF:
        if (byte != '\n')
            return CHUNKS_BAD;
        buf_add_c(out, "\r\n");
        return CHUNKS_SIZE;
    case CHUNKS_TRAILER:
        return byte == '\r' ? CHUNKS_LAST_LF : extra(c, head_token_char(byte), CHUNKS_TRAILER_NAME);
    case CHUNKS_TRAILER_NAME:
        return byte == ':' ? CHUNKS_TRAILER_VALUE
                           : extra(c, head_token_char(byte), CHUNKS_TRAILER_NAME);
    case CHUNKS_TRAILER_VALUE:
        return byte == '\r' ? CHUNKS_TRAILER_LF : extra(c, is_text(byte), CHUNKS_TRAILER_VALUE);
    case CHUNKS_TRAILER_LF:
        return byte == '\n' ? CHUNKS_TRAILER : CHUNKS_BAD;
    case CHUNKS_LAST_LF:
        if (byte != '\n')
            return CHUNKS_BAD;
        buf_add_c(out, "0\r\n\r\n");
        return CHUNKS_END;
    case CHUNKS_DATA:
    case CHUNKS_END:
    case CHUNKS_BAD:
    case CHUNKS_OVER:
        break;
    }
    return CHUNKS_BAD;
}

size_t chunks_feed(struct chunks *c, struct str in, struct buf *out)
{
    size_t at = 0;
    while (at < in.n && c->state < CHUNKS_END) {
        if (c->state == CHUNKS_DATA) {
            size_t n = in.n - at < c->left ? in.n - at : (size_t)c->left;
            buf_add(out, in.p + at, n);
            at += n;
            c->left -= n;
            if (c->left == 0)
                c->state = CHUNKS_DATA_CR;
            continue;
        }
        c->state = step(c, (unsigned char)in.p[at++], out);
        if (c->state == CHUNKS_BAD)
            buf_add_char(out, 'z'); /* no size begins with it, and no data ends in it */
    }
    return c->state > CHUNKS_END ? in.n : at;
}
