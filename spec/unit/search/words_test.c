/* Words of text, and queries made of them. */
#include "search/fts.h"
#include "search/private.h"
#include "search/text.h"
#include "test.h"

static bool add_word(void *arg, const struct text_word *word)
{
    struct buf *out = arg;
    buf_printf(out, "%s%s%.*s[%zu,%zu]", out->n ? " " : "", word->colocated ? "+" : "",
               (int)word->text.n, word->text.p, word->start, word->end);
    return true;
}

static const char *words(const char *text, enum text_mode mode)
{
    static struct buf out;
    buf_clear(&out);
    text_words(str_c(text), mode, add_word, &out);
    return out.n ? out.p : "";
}

TEST(korean_is_cut_into_pairs)
{
    CHECK_STR(words("맛집에서", TEXT_QUERY), "맛집[0,6] 집에[3,9] 에서[6,12]");
    CHECK_STR(words("맛집", TEXT_DOCUMENT), "맛집[0,6] +집[3,6]");
    CHECK_STR(words("집", TEXT_DOCUMENT), "집[0,3]");
    CHECK_STR(words("東京타워", TEXT_QUERY), "東京[0,6] 京타[3,9] 타워[6,12]");
}

TEST(latin_is_cut_into_words)
{
    CHECK_STR(words("Hello, WORLD-2!", TEXT_DOCUMENT), "hello[0,5] world[7,12] 2[13,14]");
    CHECK_STR(words("café ÀÉÎõÿ", TEXT_QUERY), "cafe[0,5] aeioy[6,16]");
    CHECK_STR(words("ＬＧ전자", TEXT_QUERY), "lg[0,6] 전자[6,12]");
    CHECK_STR(words("Ещё ΑΒΓ", TEXT_QUERY), "ещё[0,6] αβγ[7,13]");
    CHECK_STR(words("e\xcc\x81t", TEXT_QUERY), "et[0,4]");
    CHECK_STR(words(" \xff\xfe. \xf0\x9f\x98\x80 ", TEXT_DOCUMENT), "");
    CHECK_STR(words("ÿĀžſ", TEXT_QUERY), "yazs[0,8]");
}

TEST(a_long_word_is_known_by_its_beginning)
{
    char text[1001];
    memset(text, 'a', 1000);
    text[1000] = 0;
    struct text_word last;
    CHECK_EQ(text_count(str_c(text), 10, &last), 1);
    CHECK_EQ(last.end, 1000);
    CHECK(strlen(words(text, TEXT_DOCUMENT)) < 200);
}

TEST(letters_written_apart_are_put_together)
{
    struct buf out = {0};
    text_compose(&out, str_c("a\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab\xe1\x84\x80\xe1\x85\xb3!"));
    CHECK_STR(out.p, "a한그!");
    buf_free(&out);
}

static int field_of(void *arg, struct str name)
{
    (void)arg;
    return str_eq_c(name, "title") ? 0 : str_eq_c(name, "stars") ? QUERY_NOT_TEXT : QUERY_NO_FIELD;
}

/* The query as FTS5 reads it, or its error. */
static const char *match(const char *text)
{
    static struct buf out;
    struct search_field fields[] = {{"title", SEARCH_TEXT, NULL}};
    struct search_index index = {.fields = fields, .field_count = 1};
    struct arena *arena = arena_create();
    struct query_node *root;
    struct err err;
    buf_clear(&out);
    if (!query_parse(arena, str_c(text), field_of, NULL, &root, &err))
        buf_add_c(&out, err.message);
    else if (root)
        fts_match(&out, &index, root);
    arena_destroy(arena);
    return out.n ? out.p : "";
}

TEST(queries_are_read)
{
    CHECK_STR(match(""), "");
    CHECK_STR(match("　\t"), "");
    CHECK_STR(match("a b"), "(((\"a\") AND (\"b\")))");
    CHECK_STR(match("a OR b c"), "(((\"a\") OR (((\"b\") AND (\"c\")))))");
    CHECK_STR(match("a AND b"), "(((\"a\") AND (\"b\")))");
    CHECK_STR(match("a -b"), "(((\"a\")) NOT (\"b\"))");
    CHECK_STR(match("star* 집"), "(((\"star\" *) AND (\"집\" *)))");
    CHECK_STR(match("title:x"), "(f_title : \"x\")");
    CHECK_STR(match("http://x"), "(\"http://x\")");
    CHECK_STR(match("10:30"), "(\"10:30\")");
    CHECK_STR(match("\"a b\""), "(\"a b\")");
    CHECK_STR(match("ORANGE"), "(\"ORANGE\")");
    CHECK_STR(match("(a)"), "(\"a\")");
    CHECK_STR(match("it's a*b"), "(((\"it's\") AND (\"a*b\")))");
}

TEST(wrong_queries_say_where)
{
    CHECK_STR(match("가 \"나"), "column 3: a quote is not closed");
    CHECK_STR(match("(가"), "column 1: a parenthesis is not closed");
    CHECK_STR(match("가)"), "column 2: there is no parenthesis to close");
    CHECK_STR(match("()"), "column 2: a word is missing here");
    CHECK_STR(match("OR a"), "column 1: OR belongs between two words");
    CHECK_STR(match("a OR"), "column 5: a word is missing here");
    CHECK_STR(match("a AND"), "column 3: AND belongs between two words");
    CHECK_STR(match("-a"), "column 1: beside what must not occur there has to be a word that does");
    CHECK_STR(match("*"), "column 1: there are no letters before the *");
    CHECK_STR(match("!!"), "column 1: there are no letters or digits to look for");
    CHECK_STR(match("\"a\"*"), "column 4: a * goes behind a word, not behind a phrase");
    CHECK_STR(match("stars:5"),
              "column 1: \"stars\" is not searched by words; give it as a filter");
    CHECK_STR(match("(((((((((a)))))))))"), "column 9: more than 8 parentheses in one another");
}
