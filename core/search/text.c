#include "search/text.h"

#include <stdint.h>

enum class { CLASS_NONE, CLASS_WORD, CLASS_PAIR, CLASS_MARK };

struct range {
    uint32_t from, to;
};

static bool within(const struct range *ranges, size_t count, uint32_t c)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i].from && c <= ranges[i].to)
            return true;
    return false;
}
#define WITHIN(ranges, c) within(ranges, sizeof(ranges) / sizeof *(ranges), c)

/* Hangul, Han, Hiragana, Katakana. */
static const struct range pairs[] = {
    {0x1100, 0x11ff}, {0x3005, 0x3007},   {0x3041, 0x3096}, {0x309d, 0x309f}, {0x30a1, 0x30fa},
    {0x30fc, 0x30ff}, {0x3131, 0x318e},   {0x31f0, 0x31ff}, {0x3400, 0x4dbf}, {0x4e00, 0x9fff},
    {0xa960, 0xa97c}, {0xac00, 0xd7a3},   {0xd7b0, 0xd7fb}, {0xf900, 0xfaff}, {0xff66, 0xff9f},
    {0xffa1, 0xffdc}, {0x20000, 0x323af},
};
/* Beyond ASCII: what is neither letter nor digit. */
static const struct range nones[] = {
    {0x80, 0xa9},        {0xab, 0xb1},     {0xb4, 0xb4},     {0xb6, 0xb8},     {0xbb, 0xbb},
    {0xbf, 0xbf},        {0xd7, 0xd7},     {0xf7, 0xf7},     {0x2c2, 0x2c5},   {0x2d2, 0x2df},
    {0x37e, 0x37e},      {0x387, 0x387},   {0x589, 0x58a},   {0x5be, 0x5be},   {0x60c, 0x60d},
    {0x61b, 0x61f},      {0x964, 0x965},   {0x2000, 0x206f}, {0x207a, 0x207e}, {0x208a, 0x208e},
    {0x20a0, 0x20cf},    {0x2190, 0x245f}, {0x249c, 0x24e9}, {0x2500, 0x2775}, {0x2794, 0x2bff},
    {0x2e00, 0x3004},    {0x3008, 0x3040}, {0x30a0, 0x30a0}, {0x30fb, 0x30fb}, {0x3200, 0x33ff},
    {0xd800, 0xf8ff},    {0xfe10, 0xfe6f}, {0xff00, 0xff65}, {0xffe0, 0xffff}, {0x1f000, 0x1faff},
    {0xe0000, 0x10ffff},
};
static const struct range marks[] = {{0x300, 0x36f},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},
                                     {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};

/* 0xc0 … 0x17f: the letter without its accent, 0 where there is none. */
static const char plain[] = "aaaaaa\0ceeeeiiii"
                            "\0nooooo\0ouuuuy\0\0"
                            "aaaaaa\0ceeeeiiii"
                            "\0nooooo\0ouuuuy\0y"
                            "aaaaaaccccccccdd"
                            "ddeeeeeeeeeegggg"
                            "gggghhhhiiiiiiii"
                            "ii\0\0jjkk\0llllll"
                            "llllnnnnnnn\0\0oooo"
                            "oo\0\0rrrrrrssssss"
                            "ssttttttuuuuuuuu"
                            "uuuuwwyyyzzzzzzs";

static uint32_t fold(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c >= 0xff01 && c <= 0xff5e)
        return fold(c - 0xfee0);
    if (c >= 0xc0 && c < 0xc0 + sizeof plain - 1 && plain[c - 0xc0])
        return (unsigned char)plain[c - 0xc0];
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) ||
        (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    if ((c >= 0x100 && c <= 0x17f) || (c >= 0x460 && c <= 0x52f) || (c >= 0x1e00 && c <= 0x1eff))
        return c | 1;
    return c;
}

static enum class class_of(uint32_t c) {
    if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? CLASS_WORD : CLASS_NONE;
    if (WITHIN(pairs, c)) return CLASS_PAIR;
    if (WITHIN(marks, c)) return CLASS_MARK;
    return WITHIN(nones, c) ? CLASS_NONE : CLASS_WORD;
}

/* One character; 0xfffd and one byte for what is no UTF-8. */
static uint32_t decode(struct str text, size_t at, size_t *bytes)
{
    const unsigned char *p = (const unsigned char *)text.p + at;
    size_t left = text.n - at, n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    uint32_t c = p[0];
    *bytes = 1;
    if (n == 1)
        return c;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
        return 0xfffd;
    c &= 0xffu >> (n + 1);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0xfffd;
        c = c << 6 | (p[i] & 0x3f);
    }
    *bytes = n;
    return c;
}

static size_t encode(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* A run under way. */
struct run {
    enum class class;
    char word[TEXT_WORD_BYTES];
    size_t n;     /* bytes of word */
    size_t start; /* of the word, or of the pair's first character */
    size_t last;  /* bytes of word that are the newest character's */
    size_t last_start, end;
    int characters; /* of a run of pairs */
};

static bool emit_word(const struct run *run, text_word_fn *fn, void *arg)
{
    struct text_word word = {.text = {run->word, run->n}, .start = run->start, .end = run->end};
    return fn(arg, &word);
}

static bool end_run(struct run *run, enum text_mode mode, text_word_fn *fn, void *arg)
{
    struct text_word word = {.start = run->last_start, .end = run->end};
    enum class class = run->class;
    run->class = CLASS_NONE;
    if (class == CLASS_WORD)
        return emit_word(run, fn, arg);
    if (class != CLASS_PAIR || (run->characters > 1 && mode == TEXT_QUERY))
        return true;
    word.text = str_n(run->word + run->n - run->last, run->last);
    word.single = run->characters == 1;
    word.colocated = word.pair = !word.single;
    return fn(arg, &word);
}

static void begin_run(struct run *run, enum class class, size_t start)
{
    *run = (struct run){.class = class, .start = start};
}

/* The next character of a run of pairs. */
static bool take_pair(struct run *run, uint32_t c, size_t start, size_t end, text_word_fn *fn,
                      void *arg)
{
    if (run->characters > 0) { /* the newest character alone is left over */
        memmove(run->word, run->word + run->n - run->last, run->last);
        run->n = run->last;
        run->start = run->last_start;
    }
    run->last = encode(run->word + run->n, c);
    run->n += run->last;
    run->last_start = start;
    run->end = end;
    if (++run->characters == 1)
        return true;
    struct text_word word = {
        .text = {run->word, run->n}, .start = run->start, .end = end, .pair = true};
    return fn(arg, &word);
}

static void take_letter(struct run *run, uint32_t c, size_t end)
{
    char bytes[4];
    size_t n = encode(bytes, c);
    run->end = end;
    if (run->n + n > sizeof run->word)
        return;
    memcpy(run->word + run->n, bytes, n);
    run->n += n;
}

bool text_words(struct str text, enum text_mode mode, text_word_fn *fn, void *arg)
{
    struct run run = {.class = CLASS_NONE};
    size_t bytes;
    for (size_t at = 0; at < text.n; at += bytes) {
        uint32_t c = fold(decode(text, at, &bytes));
        enum class class = class_of(c);
        if (class == CLASS_MARK) { /* belongs to the letter before it */
            if (run.class != CLASS_NONE)
                run.end = at + bytes;
            continue;
        }
        if (class != run.class) {
            if (!end_run(&run, mode, fn, arg))
                return false;
            begin_run(&run, class, at);
        }
        if (class == CLASS_WORD)
            take_letter(&run, c, at + bytes);
        else if (class == CLASS_PAIR && !take_pair(&run, c, at, at + bytes, fn, arg))
            return false;
    }
    return end_run(&run, mode, fn, arg);
}

struct counting {
    int count, most;
    struct text_word *last;
};

static bool count_word(void *arg, const struct text_word *word)
{
    struct counting *c = arg;
    *c->last = *word;
    c->last->text = STR("");
    return ++c->count < c->most;
}

int text_count(struct str text, int most, struct text_word *last)
{
    struct counting c = {.most = most, .last = last};
    *last = (struct text_word){0};
    text_words(text, TEXT_QUERY, count_word, &c);
    return c.count;
}

/* Hangul syllables by their number: 19 × 21 × 28 (The Unicode Standard, §3.12). */
enum { L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11a7, S_BASE = 0xac00 };
enum { L_COUNT = 19, V_COUNT = 21, T_COUNT = 28 };

void text_compose(struct buf *out, struct str text)
{
    size_t bytes, more;
    for (size_t at = 0; at < text.n; at += bytes) {
        uint32_t c = decode(text, at, &bytes);
        uint32_t l = c - L_BASE, v = 0, t = 0;
        bool open = l < L_COUNT && at + bytes < text.n;
        if (open && (v = decode(text, at + bytes, &more) - V_BASE) < V_COUNT) {
            char syllable[4];
            bytes += more;
            if (at + bytes < text.n) {
                t = decode(text, at + bytes, &more) - T_BASE;
                if (t > 0 && t < T_COUNT)
                    bytes += more;
                else
                    t = 0;
            }
            buf_add(out, syllable, encode(syllable, S_BASE + (l * V_COUNT + v) * T_COUNT + t));
            continue;
        }
        buf_add(out, text.p + at, bytes);
    }
}

void text_fold(struct buf *out, struct str text)
{
    size_t bytes;
    for (size_t at = 0; at < text.n; at += bytes) {
        char folded[4];
        uint32_t c = fold(decode(text, at, &bytes));
        if (class_of(c) != CLASS_MARK)
            buf_add(out, folded, encode(folded, c));
    }
}
