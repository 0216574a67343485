#include "http/frames.h"

#include <string.h>

#include "base/clock.h"

enum frame_type { /* ORDER of RFC 9113, section 6 */
                  FRAME_DATA,
                  FRAME_HEADERS,
                  FRAME_PRIORITY,
                  FRAME_RST_STREAM,
                  FRAME_SETTINGS,
                  FRAME_PUSH_PROMISE,
                  FRAME_PING,
                  FRAME_GOAWAY,
                  FRAME_WINDOW_UPDATE,
                  FRAME_CONTINUATION,
};

enum {
    FRAME_HEAD = 9,
    FRAME_MOST = 16384,
    FLAG_END_STREAM = 1,
    FLAG_END_HEADERS = 4,
    FLAG_PADDED = 8,
    FLAG_PRIORITY = 32,
    UPDATE_BYTES = 1024, /* written to the client for each window update */
    ERROR_WEIGHT = 10,   /* control frames that one error counts for */
};

static const char too_many_control[] = "too many control frames";
static const char block_too_large[] = "the header block is too large";

/* ---- header blocks ---- */

static void begin_string(struct fields *f)
{
    f->state = f->strings-- > 0 ? FIELDS_LENGTH : FIELDS_START;
}

/* The first byte of a field: its kind, and an index in the low bits of `mask`. */
static void begin_field(struct fields *f, unsigned char byte)
{
    unsigned char mask;
    f->count++;
    if (byte & 0x80) { /* name and value of the table */
        mask = 0x7f;
        f->strings = 0;
    } else if ((byte & 0xe0) == 0x20) { /* a new size of the table */
        mask = 0x1f;
        f->strings = 0;
    } else {
        mask = byte & 0x40 ? 0x3f : 0x0f;
        f->strings = byte & mask ? 1 : 2;
    }
    if ((byte & mask) == mask)
        f->state = FIELDS_INDEX;
    else
        begin_string(f);
}

static void end_length(struct fields *f)
{
    if (f->left > 0)
        f->state = FIELDS_STRING;
    else
        begin_string(f);
}

static void take_length(struct fields *f, unsigned char byte)
{
    if (f->shift <= 21) /* the library takes no more either */
        f->left += (uint32_t)(byte & 0x7f) << f->shift;
    f->shift += 7;
    if (!(byte & 0x80))
        end_length(f);
}

static void step(struct fields *f, unsigned char byte)
{
    switch (f->state) {
    case FIELDS_START:
        begin_field(f, byte);
        break;
    case FIELDS_INDEX:
        if (!(byte & 0x80))
            begin_string(f);
        break;
    case FIELDS_LENGTH:
        f->left = byte & 0x7f;
        f->shift = 0;
        if (f->left == 0x7f)
            f->state = FIELDS_LENGTH_MORE;
        else
            end_length(f);
        break;
    case FIELDS_LENGTH_MORE:
        take_length(f, byte);
        break;
    case FIELDS_STRING:
        break;
    }
}

void fields_walk(struct fields *f, const unsigned char *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        if (f->state != FIELDS_STRING) {
            step(f, p[at++]);
            continue;
        }
        size_t skip = n - at < f->left ? n - at : f->left;
        at += skip;
        f->left -= (uint32_t)skip;
        if (f->left == 0)
            begin_string(f);
    }
}

struct frame {
    int type, flags;
    const unsigned char *payload;
    size_t n;
};

/* What of a HEADERS frame belongs to the block; padding that does not fit is the library's to
 * refuse. */
static void strip(struct frame *frame)
{
    size_t pad = 0, head = 0;
    if (frame->flags & FLAG_PADDED && frame->n > 0) {
        pad = frame->payload[0];
        head = 1;
    }
    if (frame->flags & FLAG_PRIORITY)
        head += 5;
    if (head + pad > frame->n) {
        frame->n = 0;
        return;
    }
    frame->payload += head;
    frame->n -= head + pad;
}

/* A block that begins and ends in a frame and is too short for too many fields need not be walked.
 */
static const char *check_block(struct frames *f, struct frame *frame,
                               const struct frames_limits *limits)
{
    bool ends = frame->flags & FLAG_END_HEADERS;
    if (frame->type == FRAME_HEADERS) {
        strip(frame);
        f->fields = (struct fields){0};
        f->block = 0;
    }
    f->block += (int)frame->n;
    if (f->block > limits->block)
        return block_too_large;
    if (!ends || f->in_block || (int)frame->n > limits->block_size)
        fields_walk(&f->fields, frame->payload, frame->n);
    f->in_block = !ends;
    return f->fields.count > limits->block_size ? block_too_large : NULL;
}

/* ---- frames ---- */

static bool is_empty_data(const struct frame *frame)
{
    size_t pad = frame->flags & FLAG_PADDED && frame->n > 0 ? 1u + frame->payload[0] : 0;
    return frame->n <= pad && !(frame->flags & FLAG_END_STREAM);
}

static const char *check_frame(struct frames *f, struct frame *frame, size_t written,
                               const struct frames_limits *limits)
{
    switch (frame->type) {
    case FRAME_DATA:
        f->control += is_empty_data(frame);
        break;
    case FRAME_HEADERS:
        return check_block(f, frame, limits);
    case FRAME_CONTINUATION:
        f->control += frame->n == 0;
        if (f->control > limits->control)
            return too_many_control;
        return check_block(f, frame, limits);
    case FRAME_RST_STREAM:
        if (++f->resets > limits->resets)
            return too_many_control;
        break;
    case FRAME_WINDOW_UPDATE:
        if (++f->updates > limits->control + (int)((written - f->written) / UPDATE_BYTES))
            return too_many_control;
        break;
    default:
        f->control++;
        f->unknown = f->unknown || frame->type > FRAME_CONTINUATION;
    }
    return f->control > limits->control ? too_many_control : NULL;
}

static void begin_second(struct frames *f, size_t written, int64_t now_ns)
{
    if (f->second_ns != 0 && now_ns - f->second_ns < NS_PER_SECOND)
        return;
    f->second_ns = now_ns;
    f->written = written;
    f->control = f->resets = f->updates = 0;
}

/* The frame at `at`; false when it is not whole, or longer than the library takes. */
static bool next_frame(const unsigned char *at, const unsigned char *end, struct frame *frame)
{
    if (end - at < FRAME_HEAD)
        return false;
    size_t n = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
    *frame = (struct frame){at[3], at[4], at + FRAME_HEAD, n};
    return n <= FRAME_MOST && (size_t)(end - at) >= FRAME_HEAD + n;
}

const char *frames_check(struct frames *f, struct str input, size_t written, int64_t now_ns,
                         const struct frames_limits *limits)
{
    static const struct str preface = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24};
    const unsigned char *at = (const unsigned char *)input.p, *end = at + input.n;
    begin_second(f, written, now_ns);
    if (str_starts(input, preface))
        at += preface.n;
    f->unknown = false;
    struct frame frame;
    const char *why = NULL;
    while (!why && next_frame(at, end, &frame)) {
        at += FRAME_HEAD + frame.n;
        why = check_frame(f, &frame, written, limits);
    }
    return why;
}

size_t frames_strip(char *p, size_t n, bool in_block)
{
    size_t at = 0;
    struct frame frame;
    while (next_frame((unsigned char *)p + at, (unsigned char *)p + n, &frame)) {
        size_t whole = FRAME_HEAD + frame.n;
        if (frame.type > FRAME_CONTINUATION && !in_block) {
            memmove(p + at, p + at + whole, n - at - whole);
            n -= whole;
            continue;
        }
        if (frame.type == FRAME_HEADERS || frame.type == FRAME_CONTINUATION)
            in_block = !(frame.flags & FLAG_END_HEADERS);
        at += whole;
    }
    return n;
}

const char *frames_errors(struct frames *f, uint64_t errors, int64_t now_ns,
                          const struct frames_limits *limits)
{
    if (errors == 0)
        return NULL;
    begin_second(f, f->written, now_ns);
    f->control += errors > 1000 ? 1000 * ERROR_WEIGHT : (int)errors * ERROR_WEIGHT;
    return f->control > limits->control ? "too many stream errors" : NULL;
}
