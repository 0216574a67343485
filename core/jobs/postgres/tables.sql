-- postgres/tables.sql -- the tables of the queue's schema in PostgreSQL, made or brought up to date at start under an
-- advisory lock. Each version stands below its line and never changes again: what comes later is a new version at the
-- end, and PG_VERSION. The functions (postgres/functions.sql) are made anew whenever the version rises; a function that
-- is to return something else is dropped here first. Nodes of the older version go on meanwhile, so that what
-- they call stays.
--
-- A job's body (maru.job) is written once and deleted at its end; what moves is narrow:
-- ready, parked (its key is at its limit) or claimed. A `flow` is a pair of queue and
-- kind: an index over (flow, prio, run_at, id) gives each claim its jobs in order, with
-- nothing in between that cannot run. Times are ns since 1970 by this server's clock.
--
-- prio: 0 high, 1 normal, 2 low; 9: had a part in two crashes, runs alone (claim()).
-- run_at 0: comes before all others of its priority.

-- version 1
CREATE TABLE maru.meta(key text PRIMARY KEY, value bigint NOT NULL);
CREATE SEQUENCE maru.block;      -- of 2^20 ids for a node's pushes
CREATE SEQUENCE maru.single;     -- ids of maru.push(), above all blocks
CREATE SEQUENCE maru.fence;

CREATE TABLE maru.kind(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
  queue text NOT NULL DEFAULT 'default', prio smallint NOT NULL DEFAULT 1,
  max_attempts int NOT NULL DEFAULT 4, most int NOT NULL DEFAULT 0, key_most int NOT NULL DEFAULT 0);
CREATE TABLE maru.queue(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
  most int NOT NULL DEFAULT 0, -- declared; what an operator set (bits: enum queue_field) is over it:
  set int NOT NULL DEFAULT 0, paused bool NOT NULL DEFAULT false, concurrency int NOT NULL DEFAULT 0,
  rate bigint NOT NULL DEFAULT 0, rate_period bigint NOT NULL DEFAULT 0, weight int NOT NULL DEFAULT 1,
  key_concurrency int NOT NULL DEFAULT 0, key_rate bigint NOT NULL DEFAULT 0,
  key_rate_period bigint NOT NULL DEFAULT 0);
CREATE TABLE maru.flow(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind int NOT NULL REFERENCES maru.kind, queue int NOT NULL REFERENCES maru.queue,
  UNIQUE(kind, queue));

-- Nodes: one row for each running server. Its lease covers all it has claimed.
CREATE TABLE maru.node(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, home text NOT NULL,
  name text NOT NULL, lanes int NOT NULL, capacity int NOT NULL, started_at bigint NOT NULL,
  beat_at bigint NOT NULL, expires_at bigint NOT NULL, running text NOT NULL DEFAULT '[]');
-- How far a writer's batches got: what a lost connection leaves unknown.
CREATE TABLE maru.writer(id text PRIMARY KEY, seq bigint NOT NULL, at bigint NOT NULL) WITH (fillfactor = 10);
-- How far a server's own transactions (tx.jobs) were relayed.
CREATE TABLE maru.relay(home text PRIMARY KEY, seq bigint NOT NULL) WITH (fillfactor = 10);

CREATE TABLE maru.job(id bigint PRIMARY KEY, flow int NOT NULL, prio smallint NOT NULL,
  attempt smallint NOT NULL DEFAULT 0, max_attempts smallint NOT NULL, crashes smallint NOT NULL DEFAULT 0,
  timeout_ms int NOT NULL DEFAULT 0, created_at bigint NOT NULL, run_at bigint NOT NULL,
  scheduled_at bigint NOT NULL DEFAULT 0, uniq text, key text, error text, args text NOT NULL,
  extra text);
CREATE TABLE maru.ready(id bigint NOT NULL, flow int NOT NULL, prio smallint NOT NULL,
  run_at bigint NOT NULL, key text);
CREATE INDEX ready_next ON maru.ready(flow, prio, run_at, id);
CREATE TABLE maru.parked(id bigint NOT NULL, flow int NOT NULL, prio smallint NOT NULL,
  run_at bigint NOT NULL, key text NOT NULL);
CREATE INDEX parked_next ON maru.parked(flow, key, prio, run_at, id);
CREATE TABLE maru.claimed(id bigint PRIMARY KEY, flow int NOT NULL, node bigint NOT NULL,
  fence bigint NOT NULL, at bigint NOT NULL, key text, suspect bool NOT NULL, cancel bool NOT NULL DEFAULT false);
CREATE INDEX claimed_flow ON maru.claimed(flow, key);
CREATE INDEX claimed_fence ON maru.claimed(fence);
CREATE TABLE maru.uniq(kind int NOT NULL, key text NOT NULL, id bigint NOT NULL, PRIMARY KEY(kind, key));
CREATE TABLE maru.fire(schedule text NOT NULL, at bigint NOT NULL, job bigint NOT NULL, PRIMARY KEY(schedule, at));
-- What schedules did otherwise: nothing up to `since` was missed (seconds); and the lease of the node that fires.
CREATE TABLE maru.schedule(name text PRIMARY KEY, since bigint NOT NULL, paused bool NOT NULL DEFAULT false);
CREATE TABLE maru.lease(what text PRIMARY KEY, owner text NOT NULL, epoch bigint NOT NULL, until bigint NOT NULL,
  version bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO maru.lease VALUES('cron', '', 0, 0, 0);
CREATE TABLE maru.dead(id bigint PRIMARY KEY, flow int NOT NULL, prio smallint NOT NULL,
  attempt smallint NOT NULL, max_attempts smallint NOT NULL, crashes smallint NOT NULL,
  timeout_ms int NOT NULL, created_at bigint NOT NULL, scheduled_at bigint NOT NULL,
  started_at bigint NOT NULL, dead_at bigint NOT NULL, uniq text, key text, error text,
  args text NOT NULL, extra text);
-- Results go with the six hours in which they expire.
CREATE TABLE maru.done(id bigint NOT NULL, expires_at bigint NOT NULL, flow int NOT NULL,
  prio smallint NOT NULL, attempt smallint NOT NULL, max_attempts smallint NOT NULL,
  created_at bigint NOT NULL, started_at bigint NOT NULL, finished_at bigint NOT NULL,
  result text NOT NULL) PARTITION BY RANGE (expires_at);
CREATE INDEX done_id ON maru.done(id);
CREATE TABLE maru.done_rest PARTITION OF maru.done DEFAULT;
-- The rest of what ended lately: two tables, of which the older one is truncated in turn.
CREATE TABLE maru.past(half smallint NOT NULL, id bigint NOT NULL, fin smallint NOT NULL,
  flow int NOT NULL, prio smallint NOT NULL, attempt smallint NOT NULL, max_attempts smallint NOT NULL,
  created_at bigint NOT NULL, started_at bigint NOT NULL, finished_at bigint NOT NULL) PARTITION BY LIST (half);
CREATE INDEX past_id ON maru.past(id);
CREATE TABLE maru.past_0 PARTITION OF maru.past FOR VALUES IN (0);
CREATE TABLE maru.past_1 PARTITION OF maru.past FOR VALUES IN (1);
INSERT INTO maru.meta VALUES('half', 0);

-- Rows come and go all the time: vacuum them by count, not by share of the table.
ALTER TABLE maru.job SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.5);
ALTER TABLE maru.ready SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_scale_factor = 0.5);
ALTER TABLE maru.claimed SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0);
ALTER TABLE maru.parked SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0);

-- version 2
-- Failed attempts: the newest twenty of a job, and none longer than a dead job is kept.
CREATE TABLE maru.attempt(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job bigint NOT NULL, attempt int NOT NULL,
  started_at bigint NOT NULL, ended_at bigint NOT NULL, error text, traceback text, node text, lane text);
CREATE INDEX attempt_job ON maru.attempt(job, id);
DROP FUNCTION IF EXISTS maru.recover(bigint, bigint[]); -- another argument; with its default it is called as before

-- version 3
-- Unique keys that are held for a time, whatever becomes of the job that took them.
CREATE TABLE maru.held(kind int NOT NULL, key text NOT NULL, until bigint NOT NULL, PRIMARY KEY(kind, key));
CREATE INDEX held_until ON maru.held(until);

-- version 4
-- Runs of workflows and their steps (core/jobs/workflow/workflow.h); what the columns mean is as in workflow/sqlite.c.
CREATE TABLE maru.workflow(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, plugin text NOT NULL, name text NOT NULL,
  shape smallint NOT NULL, version int NOT NULL, uniq text, state smallint NOT NULL, created_at bigint NOT NULL,
  finished_at bigint NOT NULL DEFAULT 0, steps int NOT NULL DEFAULT 0, active int NOT NULL DEFAULT 0,
  waiting int NOT NULL DEFAULT 0, arrived text, data text, error text, result text) WITH (fillfactor = 50);
CREATE UNIQUE INDEX workflow_uniq ON maru.workflow(plugin, name, uniq) WHERE state = 1 AND uniq IS NOT NULL;
CREATE INDEX workflow_state ON maru.workflow(state, finished_at);
CREATE TABLE maru.workflow_step(run bigint NOT NULL, seq int NOT NULL, name text NOT NULL, state smallint NOT NULL,
  job bigint, at bigint NOT NULL, started_at bigint, ended_at bigint, woke_at bigint, due_at bigint,
  attempt int NOT NULL DEFAULT 0, version int NOT NULL DEFAULT 0, await text, next text, otherwise text, on_error text,
  error text, result text, spec text, PRIMARY KEY(run, seq)) WITH (fillfactor = 70);
CREATE INDEX workflow_step_due ON maru.workflow_step(due_at) WHERE state = 2 AND due_at > 0;
CREATE INDEX workflow_step_queued ON maru.workflow_step(run) WHERE state = 1;
CREATE TABLE maru.workflow_signal(run bigint NOT NULL, seq int NOT NULL, name text, data text, at bigint NOT NULL, who text,
  PRIMARY KEY(run, seq));
-- Ends of steps' jobs that came to be in here, until a node has decided what follows.
CREATE TABLE maru.stray(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job bigint NOT NULL, extra text NOT NULL,
  fin smallint NOT NULL, started_at bigint NOT NULL, attempt int NOT NULL, error text);

-- version 5
-- Batches: what ended of their members, and what follows the last of them (crowd.h).
CREATE TABLE maru.batch(id bigint PRIMARY KEY, total bigint NOT NULL, succeeded bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0, created_at bigint NOT NULL, finished_at bigint NOT NULL DEFAULT 0, description text,
  last bigint, flow int, prio smallint, max_attempts smallint, timeout_ms int, key text, args text, extra text)
  WITH (fillfactor = 10);
CREATE INDEX batch_finished ON maru.batch(finished_at) WHERE finished_at > 0;

-- version 6
ALTER TABLE maru.stray ADD COLUMN result text; -- of one that is done: an older maru had it

-- version 7
-- (functions only)

-- version 8
-- Rates, a queue's limits of each key, and the kinds that a node has (NULL: it does not say).
ALTER TABLE maru.kind ADD rate bigint NOT NULL DEFAULT 0, ADD rate_period bigint NOT NULL DEFAULT 0,
  ADD key_rate bigint NOT NULL DEFAULT 0, ADD key_rate_period bigint NOT NULL DEFAULT 0;
ALTER TABLE maru.queue ADD own_rate bigint NOT NULL DEFAULT 0, ADD own_rate_period bigint NOT NULL DEFAULT 0,
  ADD own_key_most int NOT NULL DEFAULT 0, ADD own_key_rate bigint NOT NULL DEFAULT 0,
  ADD own_key_rate_period bigint NOT NULL DEFAULT 0;
ALTER TABLE maru.node ADD kinds int[];
CREATE INDEX flow_queue ON maru.flow(queue);
-- Token buckets, each kept as the time when it would be full again: a start moves it one interval on, and is allowed while
-- it is no further ahead than the bucket holds. what: 0 a kind's, 1 a queue's, 2 of a queue's key, 3 of a kind's key (ORDER
-- limit_of). wake_at: then the key's parked jobs may have a token; NULL: none waits for one.
CREATE TABLE maru.bucket(what smallint NOT NULL, id int NOT NULL, key text NOT NULL, full_at bigint NOT NULL, wake_at bigint,
  PRIMARY KEY(what, id, key)) WITH (fillfactor = 50);
CREATE INDEX bucket_wake ON maru.bucket(wake_at) WHERE wake_at IS NOT NULL;
DROP FUNCTION IF EXISTS maru.take(bigint, int, smallint, int, int, int, bigint, bigint);
DROP FUNCTION IF EXISTS maru.unpark(int[], text[]);

-- version 9
-- (functions only)

-- version 10
-- What each node says of itself (nodes.c), by its state.dir: one that was killed stays for a day.
CREATE TABLE maru.card(home text PRIMARY KEY, card text NOT NULL, seen_at bigint NOT NULL) WITH (fillfactor = 50);

-- version 11
-- (functions only)

-- version 12
DROP FUNCTION IF EXISTS maru.take(bigint, int, smallint, int, bigint, bigint, bool); -- returns the ids, too
DROP INDEX IF EXISTS maru.claimed_fence; -- a claim knows what it took
