#include "jobs/search.h"

#include "jobs/private.h"

static struct str next_word(struct str *rest, bool last)
{
    *rest = str_trim(*rest);
    if (last) {
        struct str all = *rest;
        *rest = str_n(rest->p, 0);
        return all;
    }
    return str_split(rest, ' ');
}

void search_init(struct search *s, struct jobs *jobs, struct str queue, struct str kind,
                 struct str text)
{
    *s = (struct search){0};
    jobs_lock(jobs);
    const struct kind *k = kind.n ? map_get(jobs->kinds, kind) : NULL;
    const struct queue *q = queue.n ? map_get(jobs->queues, queue) : NULL;
    s->kind = k ? k->word : 0;
    s->queue = q ? q->word : 0;
    s->nothing = (kind.n && !k) || (queue.n && !q);
    jobs_unlock(jobs);
    while (s->word_count < SEARCH_WORDS) {
        struct str word = next_word(&text, s->word_count == SEARCH_WORDS - 1);
        if (!word.n)
            return;
        s->words[s->word_count++] = word;
    }
}

bool search_matches_names(const struct search *s, uint32_t kind, uint32_t queue)
{
    return !s->nothing && (!s->kind || s->kind == kind) && (!s->queue || s->queue == queue);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_at(const char *p, struct str word)
{
    for (size_t i = 0; i < word.n; i++)
        if (lower(p[i]) != lower(word.p[i]))
            return false;
    return true;
}

static bool contains(struct str text, struct str word)
{
    for (size_t i = 0; i + word.n <= text.n; i++)
        if (is_at(text.p + i, word))
            return true;
    return false;
}

bool search_matches_texts(const struct search *s, const struct str *texts, int count)
{
    for (int w = 0; w < s->word_count; w++) {
        bool found = false;
        for (int t = 0; t < count && !found; t++)
            found = contains(texts[t], s->words[w]);
        if (!found)
            return false;
    }
    return true;
}

bool search_matches_job(const struct search *s, const struct job *job)
{
    if (!search_matches_names(s, job->kind->word, job->queue->word))
        return false;
    const struct str texts[] = {str_c(job->kind->name), job_args(job),
                                str_c(job_extra(job)->error)};
    return s->word_count == 0 || search_matches_texts(s, texts, 3);
}
