#include "series/question.h"

#include "base/mem.h"

void question_columns(struct query *q, const struct series *s, const char *at)
{
    buf_printf(&q->sql, "select %s", at);
    series_add_names(&q->sql, s->keys, s->key_count, ", ");
    series_add_names(&q->sql, s->values, s->value_count, ", ");
}

void question_keys(struct query *q, const struct series *s)
{
    for (int i = 0; i < s->key_count; i++)
        buf_printf(&q->sql, "%s\"%s\"", i ? ", " : "", s->keys[i]);
}

void question_where(struct query *q, const struct series_call *call)
{
    const char *word = " where ";
    for (int i = 0; i < call->where_count; i++, word = " and ") {
        const struct series_where *w = &call->where[i];
        buf_printf(&q->sql, "%s\"%.*s\" = ", word, (int)w->key.n, w->key.p);
        query_text(q, w->value);
    }
    const int64_t bounds[] = {call->from_us, call->to_us};
    for (int i = 0; i < 2; i++) {
        if (bounds[i] == SERIES_NO_TIME)
            continue;
        buf_printf(&q->sql, "%s\"at\" %s ", word, i ? "<" : ">=");
        query_add(q, (struct param){.type = PARAM_TIME, .number = bounds[i]});
        word = " and ";
    }
}

void question_limit(struct query *q, const struct series_call *call)
{
    buf_add_c(&q->sql, " limit ");
    query_number(q, series_row_limit(call));
}

static void add_step_and_keys(struct query *q, const struct series *s, const char *before)
{
    buf_printf(&q->sql, "%s_step", before);
    series_add_names(&q->sql, s->keys, s->key_count, ", ");
}

void question_steps(struct query *q, const struct series_call *call,
                    const struct question_words *words)
{
    const struct series *s = call->series;
    const char *const aggregates[] = {"avg(\"%s\")", "min(\"%s\")", "max(\"%s\")", words->newest,
                                      "sum(\"%s\")"}; /* ORDER series_agg */
    buf_add_c(&q->sql, "select ");
    words->step(q, call->step_us);
    add_step_and_keys(q, s, " as ");
    for (int i = 0; i < s->value_count; i++) {
        char *value = mem_printf(aggregates[call->agg], s->values[i]);
        buf_printf(&q->sql, ", %s", value);
        mem_free(value);
    }
    buf_printf(&q->sql, ", count(*) from %s\"%s\"", words->schema, s->table);
    question_where(q, call);
    add_step_and_keys(q, s, " group by ");
    add_step_and_keys(q, s, " order by ");
    question_limit(q, call);
}

struct frame_builder *question_frame(const struct series_call *call)
{
    const struct series *s = call->series;
    struct frame_builder *b = mem_zero(1, sizeof *b);
    *b = (struct frame_builder){.key_names = (const char *const *)s->keys,
                                .value_names = (const char *const *)s->values,
                                .key_count = s->key_count,
                                .value_count = s->value_count,
                                .counted = call->op == SERIES_DOWNSAMPLE};
    return b;
}
