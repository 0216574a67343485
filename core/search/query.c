#include "search/query.h"

#include "search/text.h"

struct parser {
    struct arena *arena;
    struct str text;
    size_t at;
    query_field_fn *field;
    void *arg;
    int parts;
    struct err *err;
};

static int column_at(const struct parser *p, size_t at)
{
    return (int)utf8_length(str_n(p->text.p, at)) + 1;
}

static bool wrong(struct parser *p, size_t at, const char *what)
{
    return err_set(p->err, ERR_INVALID, "column %d: %s", column_at(p, at), what);
}

static size_t space_at(const struct parser *p)
{
    struct str rest = str_n(p->text.p + p->at, p->text.n - p->at);
    if (rest.n > 0 && (rest.p[0] == ' ' || (rest.p[0] >= '\t' && rest.p[0] <= '\r')))
        return 1;
    return str_starts(rest, STR("\xe3\x80\x80")) ? 3 : 0; /* the wide space of CJK keyboards */
}

static bool at_end(const struct parser *p)
{
    return p->at == p->text.n;
}

static char peek(const struct parser *p)
{
    return at_end(p) ? '\0' : p->text.p[p->at];
}

static void skip_space(struct parser *p)
{
    size_t n;
    while ((n = space_at(p)) > 0)
        p->at += n;
}

/* Whether the operator stands here; behind it. */
static bool take_operator(struct parser *p, struct str name)
{
    size_t was = p->at;
    if (!str_starts(str_n(p->text.p + p->at, p->text.n - p->at), name))
        return false;
    p->at += name.n;
    if (at_end(p) || space_at(p) || peek(p) == '(' || peek(p) == ')' || peek(p) == '"')
        return true;
    p->at = was;
    return false;
}

static struct query_node *new_node(struct parser *p, enum query_kind kind, size_t at)
{
    struct query_node *node = arena_alloc(p->arena, sizeof *node);
    *node = (struct query_node){.kind = kind, .field = QUERY_NO_FIELD, .column = column_at(p, at)};
    return node;
}

/* NULL in *out for text without words. */
static bool make_text(struct parser *p, struct str text, bool prefix, int field, size_t at,
                      struct query_node **out)
{
    struct text_word last;
    int words = text_count(text, QUERY_WORDS + 1, &last);
    *out = NULL;
    if (words == 0)
        return !prefix || wrong(p, at, "there are no letters before the *");
    if (words > QUERY_WORDS)
        return err_set(p->err, ERR_LIMIT, "column %d: more than %d words in one phrase",
                       column_at(p, at), QUERY_WORDS);
    if (++p->parts > QUERY_PARTS)
        return err_set(p->err, ERR_LIMIT, "column %d: more than %d words and phrases",
                       column_at(p, at), QUERY_PARTS);
    struct query_node *node = new_node(p, QUERY_TEXT, at);
    node->text = text;
    node->prefix = prefix;
    node->words = words;
    node->pair = last.pair;
    node->single = last.single;
    node->field = field;
    *out = node;
    return true;
}

static bool parse_phrase(struct parser *p, int field, struct query_node **out)
{
    size_t at = p->at++;
    size_t n = str_find(str_n(p->text.p + p->at, p->text.n - p->at), '"');
    if (p->at + n == p->text.n)
        return wrong(p, at, "a quote is not closed");
    struct str text = str_n(p->text.p + p->at, n);
    p->at += n + 1;
    if (peek(p) == '*')
        return wrong(p, p->at, "a * goes behind a word, not behind a phrase");
    return make_text(p, text, false, field, at, out);
}

/* What looks like a field's name with a colon, and something behind it. */
static size_t field_length(const struct parser *p)
{
    struct str rest = str_n(p->text.p + p->at, p->text.n - p->at);
    size_t n = 0;
    while (n < rest.n && ((rest.p[n] >= 'a' && rest.p[n] <= 'z') || rest.p[n] == '_' ||
                          (n > 0 && rest.p[n] >= '0' && rest.p[n] <= '9')))
        n++;
    bool colon = n > 0 && n < rest.n && rest.p[n] == ':';
    return colon && !str_starts(str_n(rest.p + n, rest.n - n), STR("://")) ? n : 0;
}

static bool parse_field(struct parser *p, size_t n, int *field)
{
    struct str name = str_n(p->text.p + p->at, n);
    size_t at = p->at;
    *field = p->field(p->arg, name);
    p->at += n + 1;
    if (*field == QUERY_NO_FIELD)
        return err_set(p->err, ERR_INVALID,
                       "column %d: there is no field \"%.*s\"; put the text in quotes to look for "
                       "the colon's sides",
                       column_at(p, at), (int)(n < 60 ? n : 60), name.p);
    if (*field == QUERY_NOT_TEXT)
        return err_set(p->err, ERR_INVALID,
                       "column %d: \"%.*s\" is not searched by words; give it as a filter",
                       column_at(p, at), (int)(n < 60 ? n : 60), name.p);
    if (at_end(p) || space_at(p) || peek(p) == '(' || peek(p) == ')')
        return wrong(p, p->at, "a word or a phrase belongs behind the colon");
    return true;
}

static bool parse_word(struct parser *p, int field, struct query_node **out)
{
    size_t start = p->at;
    while (!at_end(p) && !space_at(p) && peek(p) != '(' && peek(p) != ')' && peek(p) != '"')
        p->at++;
    struct str word = str_n(p->text.p + start, p->at - start);
    bool prefix = word.n > 0 && word.p[word.n - 1] == '*';
    word.n -= prefix;
    return make_text(p, word, prefix, field, start, out);
}

static bool parse_any(struct parser *p, int depth, struct query_node **out);

static bool parse_group(struct parser *p, int depth, struct query_node **out)
{
    size_t at = p->at++;
    if (depth == QUERY_DEPTH)
        return err_set(p->err, ERR_LIMIT, "column %d: more than %d parentheses in one another",
                       column_at(p, at), QUERY_DEPTH);
    if (!parse_any(p, depth + 1, out))
        return false;
    if (peek(p) != ')')
        return wrong(p, at, "a parenthesis is not closed");
    p->at++;
    return true;
}

/* A member with its sign; NULL in *out when it says nothing. */
static bool parse_member(struct parser *p, int depth, struct query_node **out)
{
    int field = QUERY_NO_FIELD;
    size_t name, at = p->at;
    bool ok, negated = peek(p) == '-';
    p->at += negated;
    *out = NULL;
    if (negated && (at_end(p) || space_at(p)))
        return true;
    if (peek(p) == '(')
        ok = parse_group(p, depth, out);
    else if ((name = field_length(p)) > 0 && !parse_field(p, name, &field))
        ok = false;
    else
        ok = peek(p) == '"' ? parse_phrase(p, field, out) : parse_word(p, field, out);
    if (*out && negated) {
        (*out)->negated = true;
        (*out)->column = column_at(p, at);
    }
    return ok;
}

/* What is there of a group: none, the only member, or the group. */
static struct query_node *reduced(struct query_node *group)
{
    if (!group->members)
        return NULL;
    return group->members->next || group->members->negated ? group : group->members;
}

static bool has_positive(const struct query_node *group)
{
    for (const struct query_node *m = group->members; m; m = m->next)
        if (!m->negated)
            return true;
    return false;
}

static bool at_any(struct parser *p)
{
    size_t was = p->at;
    bool is = take_operator(p, STR("OR"));
    p->at = was;
    return is;
}

static bool parse_all(struct parser *p, int depth, struct query_node **out)
{
    struct query_node *group = new_node(p, QUERY_ALL, p->at), **tail = &group->members;
    bool first = true;
    for (skip_space(p); !at_end(p) && peek(p) != ')' && !at_any(p); skip_space(p)) {
        struct query_node *member;
        size_t at = p->at;
        if (take_operator(p, STR("AND"))) {
            skip_space(p);
            if (first || at_end(p) || peek(p) == ')' || at_any(p))
                return wrong(p, at, "AND belongs between two words");
        }
        if (!parse_member(p, depth, &member))
            return false;
        first = false;
        if (member) {
            *tail = member;
            tail = &member->next;
        }
    }
    if (first)
        return wrong(p, p->at,
                     at_end(p) || peek(p) == ')' ? "a word is missing here"
                                                 : "OR belongs between two words");
    if (group->members && !has_positive(group))
        return err_set(p->err, ERR_INVALID,
                       "column %d: beside what must not occur there has to be a word that does",
                       group->members->column);
    *out = reduced(group);
    return true;
}

static bool parse_any(struct parser *p, int depth, struct query_node **out)
{
    struct query_node *group = new_node(p, QUERY_ANY, p->at), **tail = &group->members;
    for (;;) {
        struct query_node *member = NULL;
        if (!parse_all(p, depth, &member))
            return false;
        if (member) {
            *tail = member;
            tail = &member->next;
        }
        if (!take_operator(p, STR("OR")))
            break;
    }
    *out = reduced(group);
    return true;
}

bool query_parse(struct arena *arena, struct str text, query_field_fn *field, void *arg,
                 struct query_node **root, struct err *err)
{
    struct parser p = {.arena = arena, .text = text, .field = field, .arg = arg, .err = err};
    *root = NULL;
    if (text.n > QUERY_BYTES)
        return err_set(err, ERR_LIMIT, "a query of more than %d bytes", QUERY_BYTES);
    if (!utf8_valid(text) || memchr(text.p, '\0', text.n))
        return err_set(err, ERR_INVALID, "the query is not valid UTF-8 text");
    skip_space(&p);
    if (at_end(&p))
        return true;
    if (!parse_any(&p, 0, root))
        return false;
    if (!at_end(&p))
        return wrong(&p, p.at, "there is no parenthesis to close");
    if (!*root)
        return err_set(err, ERR_INVALID, "column 1: there are no letters or digits to look for");
    return true;
}
