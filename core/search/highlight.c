/* highlight.c -- which words of a text were looked for.
 *
 * The text is cut into words as the index cuts it, and the query's words are
 * looked for among them: the answer is the same whatever driver found the
 * document, and is text in parts, so that no page needs to trust markup.  A
 * long text is shown from a little before its first hit. */
#include "base/mem.h"
#include "search/private.h"
#include "search/text.h"

enum { SHOWN_BYTES = 400, BEFORE_BYTES = 80, MARKED_WORDS = 20000 };

struct place { /* a word of the text */
    struct str text;
    size_t start, end;
    int position;
};

struct marks {
    struct buf bytes; /* the words' */
    struct place *places;
    int count, cap, position;
    bool *marked; /* by byte of the text */
    struct str text;
};

static bool note_word(void *arg, const struct text_word *word)
{
    struct marks *m = arg;
    if (m->count == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 64;
        m->places = mem_realloc(m->places, (size_t)m->cap * sizeof *m->places);
    }
    m->position += !word->colocated;
    m->places[m->count++] = (struct place){.text = {NULL, word->text.n},
                                           .start = word->start,
                                           .end = word->end,
                                           .position = m->position};
    buf_add_str(&m->bytes, word->text);
    return m->count < MARKED_WORDS;
}

/* The buffer has stopped moving. */
static void settle(struct marks *m)
{
    const char *p = m->bytes.p;
    for (int i = 0; i < m->count; i++) {
        m->places[i].text.p = p;
        p += m->places[i].text.n;
    }
}

static void cut(struct marks *m, struct str text, enum text_mode mode)
{
    *m = (struct marks){.text = text};
    text_words(text, mode, note_word, m);
    settle(m);
}

static void drop(struct marks *m)
{
    buf_free(&m->bytes);
    mem_free(m->places);
    mem_free(m->marked);
}

/* The word at a position of the text that is (or begins with) the wanted one, or -1. */
static int match_at(const struct marks *m, int from, int position, struct str wanted, bool prefix)
{
    for (int i = from; i < m->count && m->places[i].position <= position; i++)
        if (m->places[i].position == position &&
            (prefix ? str_starts(m->places[i].text, wanted) : str_eq(m->places[i].text, wanted)))
            return i;
    return -1;
}

/* One character alone marks that character, not the pair it begins. */
static size_t end_of(const struct place *place, const struct query_node *node, struct str text)
{
    if (!node->single)
        return place->end;
    size_t end = place->start + 1;
    while (end < place->end && ((unsigned char)text.p[end] & 0xc0) == 0x80)
        end++;
    return end;
}

static void mark_from(struct marks *m, int first, const struct marks *wanted,
                      const struct query_node *node)
{
    bool open = node->prefix || node->single;
    int last = wanted->count - 1;
    int at =
        match_at(m, first, m->places[first].position, wanted->places[0].text, open && last == 0);
    if (at < 0 || (at != first && last == 0))
        return;
    size_t start = m->places[at].start;
    for (int i = 1; i <= last && at >= 0; i++)
        at = match_at(m, at, m->places[first].position + i, wanted->places[i].text,
                      open && i == last);
    if (at >= 0)
        memset(m->marked + start, true, end_of(&m->places[at], node, m->text) - start);
}

static void mark_node(struct marks *m, const struct query_node *node, int field)
{
    if (node->negated)
        return;
    for (const struct query_node *member = node->members; member; member = member->next)
        mark_node(m, member, field);
    if (node->kind != QUERY_TEXT || (node->field >= 0 && node->field != field))
        return;
    struct marks wanted;
    cut(&wanted, node->text, TEXT_QUERY);
    for (int i = 0; i < m->count; i++)
        mark_from(m, i, &wanted, node);
    drop(&wanted);
}

static size_t at_character(struct str text, size_t at)
{
    while (at > 0 && at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static void write_part(struct json *w, struct str text, bool hit)
{
    if (text.n == 0)
        return;
    json_open(w, '{');
    json_key(w, "text");
    json_str(w, text);
    if (hit) {
        json_key(w, "hit");
        json_bool(w, true);
    }
    json_close(w, '}');
}

static void write_parts(struct json *w, const struct marks *m)
{
    struct str text = m->text;
    size_t first = 0, from = 0, to = text.n;
    while (first < text.n && !m->marked[first])
        first++;
    if (text.n > SHOWN_BYTES) {
        from =
            first < text.n && first > BEFORE_BYTES ? at_character(text, first - BEFORE_BYTES) : 0;
        to = from + SHOWN_BYTES < text.n ? at_character(text, from + SHOWN_BYTES) : text.n;
    }
    if (from > 0)
        write_part(w, STR("…"), false);
    for (size_t at = from, end; at < to; at = end) {
        for (end = at + 1; end < to && m->marked[end] == m->marked[at];)
            end++;
        write_part(w, str_n(text.p + at, end - at), m->marked[at]);
    }
    if (to < text.n)
        write_part(w, STR("…"), false);
}

void highlight_write(struct json *w, const struct query_node *query, int field, struct str text)
{
    struct marks m;
    cut(&m, text, TEXT_DOCUMENT);
    m.marked = mem_zero(text.n + 1, sizeof *m.marked);
    if (query)
        mark_node(&m, query, field);
    json_open(w, '[');
    write_parts(w, &m);
    json_close(w, ']');
    drop(&m);
}
