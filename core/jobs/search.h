/* search.h -- which jobs a look or a change of many is about.  Known to core/jobs only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct job;
struct jobs;

enum { SEARCH_WORDS = 8 };

struct search {
    bool nothing;         /* a kind or queue nobody ever pushed to */
    uint32_t kind, queue; /* words; 0 = any */
    struct str words[SEARCH_WORDS];
    int word_count;
};

/* text: words, all of which are to be somewhere in the kind, the arguments or the error, in
 * any case (of ASCII letters); words over SEARCH_WORDS are the last one's continuation.
 * Strings are borrowed.  Takes the lock. */
void search_init(struct search *search, struct jobs *jobs, struct str queue, struct str kind,
                 struct str text);
bool search_matches_names(const struct search *search, uint32_t kind, uint32_t queue);
/* Whether every word is in one of the texts. */
bool search_matches_texts(const struct search *search, const struct str *texts, int count);
bool search_matches_job(const struct search *search, const struct job *job); /* lock held */
