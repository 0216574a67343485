/* nodes.c -- what the nodes of a shared record say of themselves. */
#include "jobs/driver.h"
#include "jobs/private.h"

#include "base/clock.h"
#include "base/json.h"
#include "observe/metrics.h"

void jobs_set_card(struct jobs *jobs, struct str card)
{
    if (card.n > JOBS_CARD_BYTES)
        return;
    jobs_lock(jobs);
    buf_clear(&jobs->card);
    buf_add_str(&jobs->card, card);
    jobs_unlock(jobs);
}

void shared_card(struct jobs *jobs, struct buf *out)
{
    jobs_lock(jobs);
    buf_add_str(out, buf_str(&jobs->card));
    jobs_unlock(jobs);
}

static bool is_object(struct str card)
{
    static const struct json_events nothing;
    struct err err = {0};
    return card.n > 2 && card.p[0] == '{' && card.p[card.n - 1] == '}' &&
           json_read(card, JSON_DEPTH_DEFAULT, &nothing, NULL, &err);
}

void shared_cards_add(struct shared_cards *cards, struct str card, int64_t seen_wall, bool missing)
{
    char at[32];
    if (!is_object(card))
        return;
    clock_format_utc(seen_wall, at);
    buf_add_char(&cards->all, ',');
    buf_add(&cards->all, card.p, card.n - 1);
    buf_printf(&cards->all, ",\"seen_at\":\"%s\",\"missing\":%s}", at, missing ? "true" : "false");
    cards->seen += !missing;
    cards->missing += missing;
}

void shared_cards_end(struct jobs *jobs, struct shared_cards *cards)
{
    metric_set(metrics_gauge("maru_nodes",
                             "Servers that share the queue and were heard of within a "
                             "lease, this one included.",
                             ""),
               cards->seen + 1);
    metric_set(metrics_gauge("maru_nodes_missing",
                             "Servers that shared the queue today, did not end "
                             "as they should and are not heard of.",
                             ""),
               cards->missing);
    jobs_lock(jobs);
    buf_clear(&jobs->cards);
    buf_add_str(&jobs->cards, buf_str(&cards->all));
    jobs_unlock(jobs);
    buf_free(&cards->all);
    *cards = (struct shared_cards){0};
}

void jobs_print_cards(struct jobs *jobs, struct buf *out)
{
    jobs_lock(jobs);
    buf_add_str(out, buf_str(&jobs->cards));
    jobs_unlock(jobs);
}
