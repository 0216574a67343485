/* redis/scripts.h -- what happens inside Redis in one step, and the keys it touches.
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
 *                          key extra (extra.h) scope ("queued") version node;
 *                          held: the limits it has a place under; parked: the one it waited for;
 *                          spare: what ends its lease is no crash;
 *                          batch, and counted once it has ended there;
 *                          m and list: the message while it is delayed or dead
 *   P batch:<id>           hash: total succeeded failed created_at finished_at description ttl;
 *                          last: the id of the job that follows, which lies there in pieces till
 * then P lease                zset: id → until when a maru node has it (s) P eta zset: id → when it
 * becomes due (s): it is never in `unacked` P open                 zset: unfinished ids, by
 * themselves P dead, P done         zsets: id → when (s) P unique:<kind>:<key>, P
 * fire:<schedule>:<instant>  the id P period:<kind>:<key>  the id, for so long as the key is held
 * whatever became of it P cron:last            hash: schedule → "instant:id" of its last fire P
 * cron:since, P cron:paused   hash: schedule → nothing up to here was missed; set of schedules P
 * cron:lease           hash: owner epoch until (us) version P relay                hash: a
 * state.dir's home → the last row of its outbox that arrived P writer:<process>     hash seq out:
 * the last call of redis_push, and its answer P claim:<process>      hash seq jobs: the last claim
 * that took something, and what P revoked              zset: uuid → when (s) P setting hash: queue
 * → what an operator set: paused, concurrency, rate, weight, key concurrency, key rate; "-" = not
 * set, a rate is "count/ns" P paused               set of the queues that are paused there P limit,
 * P kinds       what nodes declare (declare.lua): bounds, and what runs somewhere P held:… bucket:…
 * parked:… P parked, P shut   limits over all nodes (common.lua) P queues               set of
 * "queue, line feed, kind": where maru's jobs wait P count:<queue>        hash: delayed dead parked
 *   P total:<queue>        hash: done dead cancelled expired retried
 *   P wf:…                runs of workflows (workflow/redis.h)
 *   P quarantine           list of JSON, newest first
 *   P cards               hash: a state.dir's home → when (us), what its node says of itself
 * and channels: P cancel (an id), P room (a limit opened).
 *
 * A claim takes a fence and a lease; whatever ends it carries the fence and changes nothing when
 * another has been given meanwhile.  What bounds kinds, queues and keys counts the claimed jobs of
 * all nodes: sets of ids that go with the lease.  What Python workers run is not counted.
 *
 * Each script's arguments and answer stand in front of it, in core/jobs/redis; P is the first.
 * Not for Redis Cluster: a script reaches keys of several slots.
 */
#pragma once

#include "jobs/redis/conn.h"

enum {
    REDIS_PUSH_FIELDS = 20, /* of one job for redis_push and redis_relay: put.lua */
    REDIS_END_FIELDS = 16,  /* of one end, before what it pushes: end.lua */
};

extern struct redis_script redis_push, redis_relay, redis_open_batch, redis_cards;
extern struct redis_script redis_claim, redis_forgo, redis_end, redis_declare_script;
extern struct redis_script redis_renew, redis_due, redis_sweep, redis_restore, redis_prune;
extern struct redis_script redis_cancel, redis_retry, redis_revoke, redis_discard;
extern struct redis_script redis_rows, redis_why, redis_see, redis_recount;
extern struct redis_script redis_set_queue, redis_decide, redis_known;

void redis_scripts_init(void); /* once, before any is used */
