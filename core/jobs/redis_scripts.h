/* redis_scripts.h -- what happens inside Redis in one step, and the keys it touches.
 *
 * Kombu's own keys, in its own format, so that Python workers and maru can recover each other's
 * messages:
 *   <queue>, <queue>\x06\x16{3,6,9}  lists: pushed on the left, popped on the right
 *   unacked           hash: delivery tag → [message, exchange, routing key]
 *   unacked_index     zset: delivery tag → when it was delivered (s)
 *   unacked_mutex     who restores what is overdue
 *   celery-task-meta-<uuid>              result JSON, also published under this name
 *   celery-taskset-meta-<group>.{j,t,s}  parts of a chord, extra count, size
 * and maru's, under a prefix (P, "maru:"):
 *   P next_id, P cluster   the last id given; four random bytes, once
 *   P id:<uuid>            the job's id, of messages that others pushed
 *   P job:<id>             hash: uuid kind queue state priority attempt max fence crashes created
 *                          run_at started finished (ns) args error result unique tag foreign;
 *                          m and list: the message while it is delayed or dead; batch, and counted
 *                          once it has ended there
 *   P batch:<id>           hash: total succeeded failed created_at finished_at description ttl;
 * last: the id of the job that follows, which lies there in pieces until then P lease zset: id →
 * until when a maru node has it (s) P eta                  zset: id → when it becomes due (s): it
 * is never in `unacked` P open                 zset: unfinished ids, by themselves P dead, P done
 * zsets: id → when (s) P unique:<kind>:<key>, P fire:<schedule>:<instant>  the id P cron:last hash:
 * schedule → "instant:id" of its last fire P cron:since, P cron:paused   hash: schedule → nothing
 * up to here was missed; set of schedules P cron:lease           hash: owner epoch until (us)
 * version P relay                hash: a state.dir's home → the last row of its outbox that arrived
 *   P revoked              zset: uuid → when (s)
 *   P setting              hash: queue → what an operator set: paused, concurrency, rate, weight,
 *                          key concurrency, key rate; "-" = not set, a rate is "count/ns"
 *   P paused               set of the queues that are paused there
 *   P queues               set of "queue, line feed, kind": where maru's jobs wait
 *   P total:<queue>        hash: done dead cancelled expired retried
 *   P quarantine           list of JSON, newest first
 *
 * A claim takes a fence and a lease; whatever ends it carries the fence and changes nothing when
 * another has been given meanwhile.
 *
 * Not for Redis Cluster: a script reaches keys of several slots.
 */
#pragma once

#include "jobs/redis_conn.h"

enum {
    REDIS_QUARANTINE = 10000, /* messages kept; older ones go */
    REDIS_DONE = 10000,       /* finished jobs that are listed */
    REDIS_SCAN = 200,         /* messages one claim may pass over because their kind is full */
};

/* P count, then for each job (REDIS_PUSH_FIELDS): id uuid kind queue list message run_at ("" = now)
 * unique ("" = none; "kind:key") fire ("" = none) created_ns max (0: a Python worker's) args
 * priority batch ("" = none). → for each 0 pushed, 1 the unique key is taken (and its holder is
 * left alone), 2 fired before. */
enum { REDIS_PUSH_FIELDS = 14 };
extern struct redis_script redis_push;

/* Begins as redis_push, then a row's number for each job, then the home.  What is above that home's
 * last number is pushed. → for each, up to the first that is 3: as redis_push; 3 another job has
 * its id, it was not pushed; a text: why it is in the quarantine.  In redis_outbox.c. */
extern struct redis_script redis_relay;
void redis_relay_init(void);

/* P id ttl_s (name, value)*: a batch, before its members.  In redis_batch.c, as the function that
 * counts a member, which stands before the scripts that end jobs. */
extern struct redis_script redis_open_batch;
extern const char redis_batch_lua[];

/* P lease_s want now_ns, count and queues, count and (task, room) pairs; room -1 = no bound.
 * → for each {id, fence, attempt, crashes, flag, queue, list, max, created_ns, unique, message};
 * flag
 * "" | "unknown" (no such task here) | "cancelled" | "revoked". */
enum { REDIS_CLAIM_FIELDS = 11 };
extern struct redis_script redis_claim;

/* P now_ns count, then for each: id fence end state meta ttl error result message list run_at
 * attempt group part index expected body_list body, count and (list, message) pairs to push, count
 * and (uuid, meta) pairs. end: "over" (state done|dead|cancelled), "again" (state ready|delayed:
 * the message, in front if run_at is "front"), "bad" (quarantine, error is the reason). → for each
 * "ok", "stale", or, when the part would complete its chord and `expected` is not the number of
 * parts there: {member, score, …} of those, and nothing was changed. */
enum { REDIS_END_FIELDS = 16 };
extern struct redis_script redis_end;

/* P lease_s (id, fence)* → ids whose lease is gone. */
extern struct redis_script redis_renew;
/* P → how many became due. */
extern struct redis_script redis_due;
/* P visibility_s token → {id or "", tag, [message, exchange, routing key]}* that are overdue, with
 * the mutex taken; nil when another has it. */
extern struct redis_script redis_sweep;
/* P visibility_s token, (id or "", tag, list, message)* → how many were put back. */
extern struct redis_script redis_restore;
/* P id now_ns meta ttl → "cancelled" (was queued), "running" (its node is told), "none". */
extern struct redis_script redis_cancel;
/* P id message list now_ns → "ok", "none", "taken" (its unique key). */
extern struct redis_script redis_retry;
/* P uuid now_ns → the id of an unfinished job with it, or "". */
extern struct redis_script redis_revoke;

/* P queue and what of it P setting shall have, "" = as it is → all of it.  In redis_settings.c. */
extern struct redis_script redis_set_queue;

/* P id… → for each {id, state, kind, queue, priority, attempt, max, crashes, args, error, result,
 * created, run_at, started, finished, uuid, result JSON of a foreign or external one or ""}. */
extern struct redis_script redis_rows;

void redis_scripts_init(void); /* once, before any is used */
