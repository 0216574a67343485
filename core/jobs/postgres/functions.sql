-- postgres/functions.sql -- the functions over the tables of postgres/tables.sql, which says what they mean. Times are ns since 1970
-- by this server's clock.
--
-- Rows of maru.job and maru.claimed are joined as `id = ANY(ARRAY[x.id])`, not `id = x.id`: their statistics are often from a
-- moment when they were empty, and then a plan that reads all of the table's index in order, once for every row of the other
-- side, looks as good as one look into the index for each. Only an equality makes that order worth something to the planner.

CREATE OR REPLACE FUNCTION maru.now() RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000 $$;

CREATE OR REPLACE FUNCTION maru.flow(kind_name text, queue_name text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE k int; q int; f int;
BEGIN
  SELECT fl.id INTO f FROM maru.flow fl JOIN maru.kind ki ON ki.id = fl.kind JOIN maru.queue qu ON qu.id = fl.queue
    WHERE ki.name = kind_name AND qu.name = queue_name;
  IF f IS NOT NULL THEN
    RETURN f;
  END IF;
  INSERT INTO maru.kind(name) VALUES(kind_name) ON CONFLICT DO NOTHING;
  INSERT INTO maru.queue(name) VALUES(queue_name) ON CONFLICT DO NOTHING;
  SELECT id INTO k FROM maru.kind WHERE name = kind_name;
  SELECT id INTO q FROM maru.queue WHERE name = queue_name;
  INSERT INTO maru.flow(kind, queue) VALUES(k, q) ON CONFLICT DO NOTHING;
  SELECT id INTO f FROM maru.flow WHERE kind = k AND queue = q;
  RETURN f;
END $$;

-- What a node's plugins declare; returns the kinds' ids in the order of the names.
CREATE OR REPLACE FUNCTION maru.declare_kinds(names text[], queues text[], prios smallint[], attempts int[], mosts int[],
  key_mosts int[], rates bigint[], rate_periods bigint[], key_rates bigint[], key_rate_periods bigint[])
RETURNS SETOF int LANGUAGE sql AS $$
  WITH d AS (SELECT * FROM unnest(names, queues, prios, attempts, mosts, key_mosts, rates, rate_periods, key_rates, key_rate_periods)
               WITH ORDINALITY u(name, queue, prio, max_attempts, most, key_most, rate, rate_period, key_rate, key_rate_period, at)),
  made AS (INSERT INTO maru.kind(name, queue, prio, max_attempts, most, key_most, rate, rate_period, key_rate, key_rate_period)
    SELECT name, queue, prio, max_attempts, most, key_most, rate, rate_period, key_rate, key_rate_period FROM d ORDER BY name
    ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, prio = excluded.prio,
      max_attempts = excluded.max_attempts, most = excluded.most, key_most = excluded.key_most, rate = excluded.rate,
      rate_period = excluded.rate_period, key_rate = excluded.key_rate, key_rate_period = excluded.key_rate_period
    RETURNING id, name)
  SELECT made.id FROM made JOIN d USING (name) ORDER BY d.at
$$;
CREATE OR REPLACE FUNCTION maru.declare_queues(names text[], mosts int[], rates bigint[], rate_periods bigint[], key_mosts int[],
  key_rates bigint[], key_rate_periods bigint[]) RETURNS void LANGUAGE sql AS $$
  INSERT INTO maru.queue(name, most, own_rate, own_rate_period, own_key_most, own_key_rate, own_key_rate_period)
    SELECT * FROM unnest(names, mosts, rates, rate_periods, key_mosts, key_rates, key_rate_periods) ORDER BY 1
  ON CONFLICT (name) DO UPDATE SET most = excluded.most, own_rate = excluded.own_rate, own_rate_period = excluded.own_rate_period,
    own_key_most = excluded.own_key_most, own_key_rate = excluded.own_key_rate, own_key_rate_period = excluded.own_key_rate_period
$$;

-- All that bounds a flow, as it is in force: what an operator set of a queue is over what is declared (bits: enum
-- queue_field). keyed: its keys are bounded; key_mosts: an end may let the next one with its key start.
CREATE OR REPLACE VIEW maru.bounds AS SELECT b.*, b.key_most > 0 OR b.queue_key_most > 0 AS key_mosts,
    b.key_most > 0 OR b.queue_key_most > 0 OR b.key_rate > 0 OR b.queue_key_rate > 0 AS keyed
  FROM (SELECT fl.id AS flow, fl.kind, fl.queue, qu.paused, ki.most, ki.rate, ki.rate_period, ki.key_most, ki.key_rate, ki.key_rate_period,
      CASE WHEN qu.set & 2 > 0 THEN qu.concurrency ELSE qu.most END AS queue_most,
      CASE WHEN qu.set & 4 > 0 THEN qu.rate ELSE qu.own_rate END AS queue_rate,
      CASE WHEN qu.set & 4 > 0 THEN qu.rate_period ELSE qu.own_rate_period END AS queue_rate_period,
      CASE WHEN qu.set & 16 > 0 THEN qu.key_concurrency ELSE qu.own_key_most END AS queue_key_most,
      CASE WHEN qu.set & 32 > 0 THEN qu.key_rate ELSE qu.own_key_rate END AS queue_key_rate,
      CASE WHEN qu.set & 32 > 0 THEN qu.key_rate_period ELSE qu.own_key_rate_period END AS queue_key_rate_period
    FROM maru.flow fl JOIN maru.kind ki ON ki.id = fl.kind JOIN maru.queue qu ON qu.id = fl.queue) b;

-- When a bucket of `rate` starts a period has its next token; at or before t: it has some now. NULL: there is no rate.
CREATE OR REPLACE FUNCTION maru.token_at(f_what smallint, f_id int, f_key text, rate bigint, period bigint, t bigint)
RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN rate > 0 THEN least(coalesce((SELECT b.full_at FROM maru.bucket b
      WHERE b.what = f_what AND b.id = f_id AND b.key = f_key), t) - (rate - 1) * greatest(1, period / rate), t + greatest(1, period / rate)) END
$$;
-- How many tokens it has; NULL: there is no rate.
CREATE OR REPLACE FUNCTION maru.tokens(what smallint, id int, key text, rate bigint, period bigint, t bigint)
RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN at IS NULL THEN NULL WHEN at > t THEN 0 ELSE least(rate, (t - at) / greatest(1, period / rate) + 1) END
  FROM (SELECT maru.token_at(what, id, key, rate, period, t) AS at) x
$$;
CREATE OR REPLACE FUNCTION maru.spend(what smallint, id int, keys text[], rate bigint, period bigint, t bigint)
RETURNS void LANGUAGE sql AS $$
  INSERT INTO maru.bucket AS b (what, id, key, full_at)
    SELECT what, id, k, t + count(*) * greatest(1, period / rate) FROM unnest(keys) k GROUP BY k ORDER BY k
  ON CONFLICT ON CONSTRAINT bucket_pkey DO UPDATE SET
    full_at = least(greatest(b.full_at, t), t + rate * greatest(1, period / rate)) + excluded.full_at - t
$$;

-- How many more jobs of a flow with this key may start now; NULL: as many as there are.
CREATE OR REPLACE FUNCTION maru.key_room(f int, f_key text, t bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT least(
    CASE WHEN b.key_most > 0 THEN greatest(0, b.key_most - (SELECT count(*) FROM maru.flow y JOIN maru.claimed c ON c.flow = y.id
      WHERE y.kind = b.kind AND c.key = f_key)) END,
    CASE WHEN b.queue_key_most > 0 THEN greatest(0, b.queue_key_most - (SELECT count(*) FROM maru.flow y JOIN maru.claimed c
      ON c.flow = y.id WHERE y.queue = b.queue AND c.key = f_key)) END,
    maru.tokens(2::smallint, b.queue, f_key, b.queue_key_rate, b.queue_key_rate_period, t),
    maru.tokens(3::smallint, b.kind, f_key, b.key_rate, b.key_rate_period, t))
  FROM maru.bounds b WHERE b.flow = f
$$;

-- Parked jobs of these keys are looked at again when there is a token, `moved` of which are spoken for.
CREATE OR REPLACE FUNCTION maru.wake_later(f int, keys text[], moved bigint, t bigint) RETURNS void LANGUAGE sql AS $$
  UPDATE maru.bucket b SET wake_at = x.at FROM (SELECT v.what, v.id, u.key,
        maru.token_at(v.what, v.id, u.key, v.rate, v.period, t) + moved * greatest(1, v.period / v.rate) AS at
      FROM maru.bounds l CROSS JOIN LATERAL (VALUES (2::smallint, l.queue, l.queue_key_rate, l.queue_key_rate_period),
        (3::smallint, l.kind, l.key_rate, l.key_rate_period)) v(what, id, rate, period) CROSS JOIN unnest(keys) u(key)
      WHERE l.flow = f AND v.rate > 0 OFFSET 0) x
    WHERE b.what = x.what AND b.id = x.id AND b.key = x.key AND x.at > t
$$;

-- A batch of plain pushes. delays: ns from now.
CREATE OR REPLACE FUNCTION maru.put(ids bigint[], flows int[], prios smallint[], attempts smallint[], delays bigint[],
  timeouts int[], schedules bigint[], uniqs text[], keys text[], argses text[], extras text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE t bigint := maru.now();
BEGIN
  INSERT INTO maru.job(id, flow, prio, max_attempts, timeout_ms, created_at, run_at, scheduled_at, uniq, key, args, extra)
    SELECT u.id, u.flow, u.prio, u.attempts, u.timeout, t, t + u.delay, u.scheduled, u.uniq, u.key, u.args, u.extra
    FROM unnest(ids, flows, prios, attempts, delays, timeouts, schedules, uniqs, keys, argses, extras)
      u(id, flow, prio, attempts, delay, timeout, scheduled, uniq, key, args, extra);
  INSERT INTO maru.ready(id, flow, prio, run_at, key)
    SELECT u.id, u.flow, u.prio, t + u.delay, u.key FROM unnest(ids, flows, prios, delays, keys) u(id, flow, prio, delay, key);
END $$;

-- The same, by a node that has room for some of them (heres: 1): of flows that nothing bounds and in which nothing is due
-- yet, these are claimed for it at once, as its claim() would do next. Their fences are below zero: claims that nobody has
-- an answer to are found by theirs, which rise (postgres/claim.c). Returns those flows.
CREATE OR REPLACE FUNCTION maru.put_here(me bigint, heres smallint[], ids bigint[], flows int[], prios smallint[],
  attempts smallint[], delays bigint[], timeouts int[], schedules bigint[], uniqs text[], keys text[], argses text[],
  extras text[])
RETURNS TABLE(flow int, fence bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE t bigint := maru.now(); f bigint; clear int[];
BEGIN
  INSERT INTO maru.job(id, flow, prio, max_attempts, timeout_ms, created_at, run_at, scheduled_at, uniq, key, args, extra)
    SELECT u.id, u.flow, u.prio, u.attempts, u.timeout, t, t + u.delay, u.scheduled, u.uniq, u.key, u.args, u.extra
    FROM unnest(ids, flows, prios, attempts, delays, timeouts, schedules, uniqs, keys, argses, extras)
      u(id, flow, prio, attempts, delay, timeout, scheduled, uniq, key, args, extra);
  PERFORM 1 FROM maru.node n WHERE n.id = me FOR KEY SHARE;
  IF FOUND THEN
    SELECT array_agg(fl.id) INTO clear
      FROM maru.flow fl JOIN maru.kind k ON k.id = fl.kind JOIN maru.queue q ON q.id = fl.queue
      WHERE fl.id = ANY(ARRAY(SELECT DISTINCT unnest(flows))) AND NOT q.paused
        AND k.most = 0 AND k.rate = 0 AND k.key_most = 0 AND k.key_rate = 0
        AND CASE WHEN q.set & 2 > 0 THEN q.concurrency ELSE q.most END = 0
        AND CASE WHEN q.set & 4 > 0 THEN q.rate ELSE q.own_rate END = 0
        AND CASE WHEN q.set & 16 > 0 THEN q.key_concurrency ELSE q.own_key_most END = 0
        AND CASE WHEN q.set & 32 > 0 THEN q.key_rate ELSE q.own_key_rate END = 0
        AND NOT EXISTS (SELECT 1 FROM maru.ready r WHERE r.flow = fl.id AND r.prio = 1 AND r.run_at <= t)
        AND NOT EXISTS (SELECT 1 FROM maru.ready r WHERE r.flow = fl.id AND r.prio = 0 AND r.run_at <= t)
        AND NOT EXISTS (SELECT 1 FROM maru.ready r WHERE r.flow = fl.id AND r.prio = 2 AND r.run_at <= t)
        AND NOT EXISTS (SELECT 1 FROM maru.ready r WHERE r.flow = fl.id AND r.prio = 9 AND r.run_at <= t);
  END IF;
  IF clear IS NOT NULL THEN
    f := -nextval('maru.fence');
    INSERT INTO maru.claimed(id, flow, node, fence, at, key, suspect)
      SELECT u.id, u.flow, me, f, t, u.key, false FROM unnest(heres, ids, flows, keys) u(here, id, flow, key)
      WHERE u.here = 1 AND u.flow = ANY(clear);
  END IF;
  IF clear IS NULL OR 0 = ANY(heres) OR NOT flows <@ clear THEN
    INSERT INTO maru.ready(id, flow, prio, run_at, key)
      SELECT u.id, u.flow, u.prio, t + u.delay, u.key FROM unnest(heres, ids, flows, prios, delays, keys)
        u(here, id, flow, prio, delay, key) WHERE u.here = 0 OR clear IS NULL OR NOT u.flow = ANY(clear);
  END IF;
  RETURN QUERY SELECT c, f FROM unnest(clear) c;
END $$;

-- Whether a job's key is free again once it runs; `extra` is as extra_print() writes it.
CREATE OR REPLACE FUNCTION maru.is_queued(extra text) RETURNS bool LANGUAGE sql IMMUTABLE AS
  $$ SELECT coalesce(extra LIKE '%"unique_queued":1%', false) $$;

-- Takes unique keys; returns the ids that got theirs. Who has inserted the key's row looks at its period after that, in a
-- statement of its own: a holder that ended meanwhile has left it by then.
CREATE OR REPLACE FUNCTION maru.take_keys(ids bigint[], flows int[], uniqs text[]) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE got bigint[]; t bigint := maru.now();
BEGIN
  WITH x AS (INSERT INTO maru.uniq(kind, key, id)
    SELECT f.kind, u.uniq, u.id FROM unnest(ids, flows, uniqs) u(id, flow, uniq) JOIN maru.flow f ON f.id = u.flow
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING RETURNING id)
  SELECT array_agg(id) INTO got FROM x;
  WITH x AS (DELETE FROM maru.uniq q USING unnest(ids, flows, uniqs) u(id, flow, uniq), maru.flow f, maru.held h
    WHERE u.id = ANY(got) AND f.id = u.flow AND h.kind = f.kind AND h.key = u.uniq AND h.until > t
      AND q.kind = f.kind AND q.key = u.uniq AND q.id = u.id RETURNING q.id)
  SELECT array_agg(g) INTO got FROM unnest(got) g WHERE g NOT IN (SELECT id FROM x);
  RETURN QUERY SELECT unnest(got);
END $$;

-- Whom a push with this key may replace: a job that waits and is nobody's member; its row in the queue is locked. others: jobs
-- of the same batch, which nobody else sees. 0: the key seems to be free by now, NULL: it is not to be had.
CREATE OR REPLACE FUNCTION maru.replaceable(f_kind int, f_key text, others bigint[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE h bigint; j maru.job;
BEGIN
  SELECT q.id INTO h FROM maru.uniq q WHERE q.kind = f_kind AND q.key = f_key;
  IF NOT FOUND THEN
    RETURN 0;
  ELSIF h = ANY(others) THEN
    RETURN h;
  END IF;
  SELECT * INTO j FROM maru.job WHERE id = h;
  IF NOT FOUND THEN
    RETURN 0;
  ELSIF j.extra LIKE '%"batch":%' OR j.extra LIKE '%"previous":%' THEN
    RETURN NULL;
  END IF;
  PERFORM 1 FROM maru.ready r WHERE r.flow = j.flow AND r.prio = CASE WHEN j.crashes >= 2 THEN 9 ELSE j.prio END
    AND r.run_at = j.run_at AND r.id = h FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM 1 FROM maru.parked p WHERE p.flow = j.flow AND p.key = j.key AND p.id = h FOR UPDATE;
  END IF;
  IF FOUND THEN
    RETURN h;
  END IF;
  PERFORM 1 FROM maru.claimed c WHERE c.id = h;
  RETURN CASE WHEN FOUND AND NOT maru.is_queued(j.extra) THEN NULL ELSE 0 END;
END $$;

-- As take_keys(), for pushes that hold their key for a time (ns) or may replace: returns each that is not refused with the id
-- of the job that it replaces, or its own. In the order of the keys, like take_keys(), so that no two wait for each other.
CREATE OR REPLACE FUNCTION maru.take_special(ids bigint[], flows int[], uniqs text[], periods bigint[], replaces smallint[])
RETURNS TABLE(id bigint, holder bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE t bigint := maru.now(); u record;
BEGIN
  FOR u IN SELECT x.id, f.kind, x.uniq, x.period, x.replace FROM unnest(ids, flows, uniqs, periods, replaces)
      WITH ORDINALITY x(id, flow, uniq, period, replace, at) JOIN maru.flow f ON f.id = x.flow ORDER BY f.kind, x.uniq, x.at LOOP
    id := u.id;
    holder := NULL;
    FOR round IN 1..50 LOOP -- it changes hands while we look
      INSERT INTO maru.uniq(kind, key, id) VALUES(u.kind, u.uniq, u.id) ON CONFLICT DO NOTHING;
      IF FOUND THEN
        holder := u.id;
        DELETE FROM maru.uniq q WHERE q.kind = u.kind AND q.key = u.uniq
          AND EXISTS (SELECT 1 FROM maru.held h WHERE h.kind = u.kind AND h.key = u.uniq AND h.until > t);
        IF FOUND THEN
          holder := NULL;
        END IF;
        EXIT;
      END IF;
      EXIT WHEN u.replace = 0;
      holder := maru.replaceable(u.kind, u.uniq, ids);
      EXIT WHEN holder IS NULL OR holder > 0;
      holder := NULL;
    END LOOP;
    CONTINUE WHEN holder IS NULL;
    IF u.period > 0 THEN
      INSERT INTO maru.held AS h (kind, key, until) VALUES(u.kind, u.uniq, t + u.period)
        ON CONFLICT (kind, key) DO UPDATE SET until = excluded.until;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

-- Queued jobs get other work: what take_special() locked, one after the other.
CREATE OR REPLACE FUNCTION maru.put_again(ids bigint[], flows int[], prios smallint[], attempts smallint[], delays bigint[],
  timeouts int[], schedules bigint[], uniqs text[], keys text[], argses text[], extras text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE t bigint := maru.now(); u record; j maru.job;
BEGIN
  FOR u IN SELECT * FROM unnest(ids, flows, prios, attempts, delays, timeouts, keys, argses, extras)
      x(id, flow, prio, attempts, delay, timeout, key, args, extra) LOOP
    SELECT * INTO STRICT j FROM maru.job WHERE id = u.id;
    DELETE FROM maru.ready r WHERE r.flow = j.flow AND r.prio = CASE WHEN j.crashes >= 2 THEN 9 ELSE j.prio END
      AND r.run_at = j.run_at AND r.id = j.id;
    IF NOT FOUND THEN
      DELETE FROM maru.parked p WHERE p.flow = j.flow AND p.key = j.key AND p.id = j.id;
    END IF;
    UPDATE maru.job SET flow = u.flow, prio = u.prio, attempt = 0, max_attempts = u.attempts, timeout_ms = u.timeout,
      run_at = t + u.delay, key = u.key, error = NULL, args = u.args, extra = u.extra WHERE id = j.id;
    INSERT INTO maru.ready(id, flow, prio, run_at, key)
      VALUES(j.id, u.flow, CASE WHEN j.crashes >= 2 THEN 9 ELSE u.prio END, t + u.delay, u.key);
  END LOOP;
END $$;

-- Jobs that wait again after a run have their key of scope queued again; if another has it now, both go on.
CREATE OR REPLACE FUNCTION maru.keys_again(ids bigint[]) RETURNS void LANGUAGE sql AS $$
  INSERT INTO maru.uniq(kind, key, id) SELECT fl.kind, j.uniq, j.id FROM unnest(ids) u(id) JOIN maru.job j ON j.id = ANY(ARRAY[u.id])
    JOIN maru.flow fl ON fl.id = j.flow WHERE j.uniq IS NOT NULL AND maru.is_queued(j.extra) ORDER BY 1, 2
  ON CONFLICT DO NOTHING
$$;
-- Takes schedules' instants; returns the ids of those that nobody had fired.
CREATE OR REPLACE FUNCTION maru.take_fires(ids bigint[], names text[], ats bigint[]) RETURNS SETOF bigint LANGUAGE sql AS $$
  INSERT INTO maru.fire(schedule, at, job) SELECT name, at, id FROM unnest(ids, names, ats) u(id, name, at) ORDER BY 1, 2
  ON CONFLICT DO NOTHING RETURNING job
$$;

CREATE OR REPLACE FUNCTION maru.give_back_fires(names text[], ats bigint[]) RETURNS void LANGUAGE sql AS $$
  DELETE FROM maru.fire f USING unnest(names, ats) u(name, t) WHERE f.schedule = u.name AND f.at = u.t
$$;

-- The lease of who fires schedules: kept by its owner while nobody else took it, taken when it is over; 0 gives it up.
CREATE OR REPLACE FUNCTION maru.lead(me text, held bigint, lease bigint, OUT mine bool, OUT epoch bigint, OUT version bigint)
LANGUAGE plpgsql AS $$
DECLARE t bigint := maru.now();
BEGIN
  UPDATE maru.lease l SET until = CASE WHEN lease > 0 THEN t + lease ELSE 0 END
    WHERE l.what = 'cron' AND l.owner = me AND l.epoch = held;
  mine := FOUND AND lease > 0;
  IF NOT FOUND AND lease > 0 THEN
    UPDATE maru.lease l SET owner = me, epoch = l.epoch + 1, until = t + lease WHERE l.what = 'cron' AND l.until <= t;
    mine := FOUND;
  END IF;
  SELECT l.epoch, l.version INTO epoch, version FROM maru.lease l WHERE l.what = 'cron';
END $$;
CREATE OR REPLACE FUNCTION maru.keep_since(names text[], sinces bigint[]) RETURNS void LANGUAGE sql AS $$
  INSERT INTO maru.schedule AS s (name, since) SELECT * FROM unnest(names, sinces) ORDER BY 1
  ON CONFLICT (name) DO UPDATE SET since = greatest(s.since, excluded.since)
$$;
CREATE OR REPLACE FUNCTION maru.keep_pause(names text[], sinces bigint[], pauses smallint[]) RETURNS void LANGUAGE sql AS $$
  INSERT INTO maru.schedule AS s (name, since, paused)
    SELECT u.name, u.since, u.paused = 1 FROM unnest(names, sinces, pauses) u(name, since, paused) ORDER BY 1
  ON CONFLICT (name) DO UPDATE SET since = greatest(s.since, excluded.since), paused = excluded.paused;
  UPDATE maru.lease SET version = version + 1 WHERE what = 'cron'
$$;
CREATE OR REPLACE FUNCTION maru.prune_fires(names text[], befores bigint[]) RETURNS void LANGUAGE sql AS $$
  DELETE FROM maru.fire f USING unnest(names, befores) u(name, t) WHERE f.schedule = u.name AND f.at < u.t
    AND f.at < (SELECT max(g.at) FROM maru.fire g WHERE g.schedule = u.name)
$$;

-- For any client, inside its own transaction: maru.push('plugin.job', '{"to": 7}', '{"delay": 60}').
-- options: queue, priority ("high", "normal", "low"), delay (seconds), retries, timeout (seconds), unique, key.
-- Returns the id; NULL when the unique key is taken.
CREATE OR REPLACE FUNCTION maru.push(kind text, args jsonb DEFAULT '{}', options jsonb DEFAULT '{}')
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE d maru.kind; f int; new_id bigint := 4503599627370496 + nextval('maru.single'); t bigint := maru.now();
  p smallint; due bigint := t + (coalesce((options->>'delay')::float8, 0) * 1e9)::bigint; bad text;
BEGIN
  SELECT o INTO bad FROM jsonb_object_keys(options) o
    WHERE o NOT IN ('queue', 'priority', 'delay', 'retries', 'timeout', 'unique', 'key') LIMIT 1;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'maru.push: there is no option %', bad;
  END IF;
  IF jsonb_typeof(args) <> 'object' THEN
    RAISE EXCEPTION 'maru.push: args must be an object';
  END IF;
  SELECT * INTO d FROM maru.kind k WHERE k.name = push.kind;
  f := maru.flow(push.kind, coalesce(options->>'queue', d.queue, 'default'));
  p := coalesce(array_position('{high,normal,low}', options->>'priority') - 1, d.prio, 1);
  IF options ? 'unique' THEN
    INSERT INTO maru.uniq(kind, key, id) SELECT fl.kind, options->>'unique', new_id FROM maru.flow fl WHERE fl.id = f
      ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
      RETURN NULL;
    END IF;
    DELETE FROM maru.uniq q USING maru.flow fl, maru.held h WHERE fl.id = f AND h.kind = fl.kind AND h.key = options->>'unique'
      AND h.until > t AND q.kind = fl.kind AND q.key = h.key;
    IF FOUND THEN
      RETURN NULL;
    END IF;
  END IF;
  INSERT INTO maru.job(id, flow, prio, max_attempts, timeout_ms, created_at, run_at, uniq, key, args)
    VALUES(new_id, f, p, coalesce((options->>'retries')::int + 1, d.max_attempts, 4),
      coalesce((options->>'timeout')::float8 * 1000, 0)::int, t, due, options->>'unique', options->>'key', push.args::text);
  INSERT INTO maru.ready(id, flow, prio, run_at, key) VALUES(new_id, f, p, due, options->>'key');
  PERFORM pg_notify('maru', 'w');
  RETURN new_id;
END $$;

-- Moves up to `want` due jobs of one flow and priority to claimed; those whose key is at its
-- limit are parked. Returns how many were claimed, how many were looked at, and the claimed ones' ids.
CREATE OR REPLACE FUNCTION maru.take(me bigint, f int, p smallint, want int, fence bigint, t bigint, keyed bool,
  OUT got int, OUT seen int, OUT ids bigint[]) LANGUAGE plpgsql AS $$
DECLARE shut text[]; began text[]; b maru.bounds;
BEGIN
  IF NOT keyed THEN
    WITH gone AS (DELETE FROM maru.ready WHERE ctid = ANY(ARRAY(
        SELECT r.ctid FROM maru.ready r WHERE r.flow = f AND r.prio = p AND r.run_at <= t
        ORDER BY r.run_at, r.id LIMIT want FOR UPDATE SKIP LOCKED)) RETURNING id, key),
    taken AS (INSERT INTO maru.claimed(id, flow, node, fence, at, key, suspect)
      SELECT id, f, me, take.fence, t, key, p = 9 FROM gone RETURNING id)
    SELECT count(*), count(*), array_agg(id) INTO got, seen, ids FROM taken;
    RETURN;
  END IF;
  WITH gone AS (DELETE FROM maru.ready WHERE ctid = ANY(ARRAY(
      SELECT r.ctid FROM maru.ready r WHERE r.flow = f AND r.prio = p AND r.run_at <= t
      ORDER BY r.run_at, r.id LIMIT want FOR UPDATE SKIP LOCKED)) RETURNING id, run_at, key),
  ranked AS (SELECT g.*, row_number() OVER (PARTITION BY g.key ORDER BY g.run_at, g.id) AS rank FROM gone g),
  looked AS (SELECT r.id, r.run_at, r.key, r.key IS NULL OR r.rank <= max(CASE WHEN r.rank = 1 AND r.key IS NOT NULL
      THEN coalesce(maru.key_room(f, r.key, t), 1000000) END) OVER (PARTITION BY r.key) AS open FROM ranked r),
  parked AS (INSERT INTO maru.parked(id, flow, prio, run_at, key)
    SELECT id, f, p, run_at, key FROM looked WHERE NOT open RETURNING key),
  taken AS (INSERT INTO maru.claimed(id, flow, node, fence, at, key, suspect)
    SELECT id, f, me, take.fence, t, key, p = 9 FROM looked WHERE open RETURNING id, key)
  SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM looked), (SELECT array_agg(id) FROM taken),
    (SELECT array_agg(DISTINCT key) FROM parked), (SELECT array_agg(key) FROM taken WHERE key IS NOT NULL)
    INTO got, seen, ids, shut, began;
  SELECT * INTO b FROM maru.bounds x WHERE x.flow = f;
  IF began IS NOT NULL AND b.queue_key_rate > 0 THEN
    PERFORM maru.spend(2::smallint, b.queue, began, b.queue_key_rate, b.queue_key_rate_period, t);
  END IF;
  IF began IS NOT NULL AND b.key_rate > 0 THEN
    PERFORM maru.spend(3::smallint, b.kind, began, b.key_rate, b.key_rate_period, t);
  END IF;
  IF shut IS NOT NULL AND (b.queue_key_rate > 0 OR b.key_rate > 0) THEN
    PERFORM maru.wake_later(f, shut, 0, t);
  END IF;
END $$;

-- Parked jobs come back for which there is room now that those of these flows and keys have ended, or have tokens.
CREATE OR REPLACE FUNCTION maru.open_keys(flows int[], keys text[], t bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE k record; room bigint; n int;
BEGIN
  PERFORM pg_advisory_xact_lock(7001);
  FOR k IN SELECT s.flow, s.key FROM (
        SELECT y.id AS flow, u.key FROM unnest(flows, keys) u(flow, key) JOIN maru.flow fl ON fl.id = u.flow JOIN maru.flow y ON y.kind = fl.kind
        UNION SELECT y.id, u.key FROM unnest(flows, keys) u(flow, key) JOIN maru.bounds b ON b.flow = u.flow
          AND (b.queue_key_most > 0 OR b.queue_key_rate > 0) JOIN maru.flow y ON y.queue = b.queue) s
      WHERE EXISTS (SELECT 1 FROM maru.parked p WHERE p.flow = s.flow AND p.key = s.key) LOOP
    room := coalesce(maru.key_room(k.flow, k.key, t), 1000);
    WITH back AS (DELETE FROM maru.parked WHERE ctid = ANY(ARRAY(
        SELECT p.ctid FROM maru.parked p WHERE p.flow = k.flow AND p.key = k.key ORDER BY p.prio, p.run_at, p.id
        LIMIT least(room, 1000) FOR UPDATE SKIP LOCKED)) RETURNING id, flow, prio, run_at, key)
    INSERT INTO maru.ready(id, flow, prio, run_at, key) SELECT id, flow, prio, run_at, key FROM back;
    GET DIAGNOSTICS n = ROW_COUNT;
    PERFORM maru.wake_later(k.flow, ARRAY[k.key], n, t);
  END LOOP;
END $$;
-- The same for keys that waited for a token. False: there was none.
CREATE OR REPLACE FUNCTION maru.wake(t bigint) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE f int[]; s text[];
BEGIN
  IF NOT EXISTS (SELECT 1 FROM maru.bucket b WHERE b.wake_at <= t) THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock(7001);
  WITH w AS (UPDATE maru.bucket SET wake_at = NULL WHERE ctid = ANY(ARRAY(
      SELECT b.ctid FROM maru.bucket b WHERE b.wake_at <= t ORDER BY b.wake_at LIMIT 1000)) RETURNING what, id, key)
  SELECT array_agg(y.flow), array_agg(y.key) INTO f, s FROM (
    SELECT fl.id AS flow, w.key FROM w JOIN maru.flow fl ON fl.queue = w.id WHERE w.what = 2
    UNION SELECT fl.id, w.key FROM w JOIN maru.flow fl ON fl.kind = w.id WHERE w.what = 3) y;
  IF f IS NOT NULL THEN
    PERFORM maru.open_keys(f, s, t);
  END IF;
  RETURN true;
END $$;

-- Claims up to `want` due jobs of these kinds for a node: by weights 8:4:1 of the priorities, within
-- all limits. Queues take turns; within one a priority is worth five seconds, so none starves. While limits are looked at nobody else claims under any
-- (advisory lock 7001), so they hold over all nodes. The last row has id NULL and in run_at when
-- the next job is due or has a token (0: more are due now, NULL: none).
CREATE OR REPLACE FUNCTION maru.claim(me bigint, kinds int[], want int)
RETURNS TABLE(id bigint, fence bigint, flow int, prio smallint, attempt smallint, max_attempts smallint, crashes smallint,
  timeout_ms int, created_at bigint, run_at bigint, scheduled_at bigint, uniq text, error text, args text, extra text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE t bigint := maru.now(); f bigint := nextval('maru.fence'); l record; at bigint; next_at bigint;
  left_ int := want; locked bool; room int; m record; n int; more bool := false; taken bigint[] := '{}';
BEGIN
  PERFORM 1 FROM maru.node n_ WHERE n_.id = me FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'node % is not registered', me USING ERRCODE = 'MA001';
  END IF;
  locked := maru.wake(t);
  FOR round IN 1..2 LOOP
    EXIT WHEN left_ <= 0 OR (round = 2 AND NOT more); -- what a share kept from being taken
    FOR l IN
      SELECT b.*, w.prio, greatest(1, want * w.weight / sum(w.weight) OVER ())::int AS share,
        b.most > 0 OR b.queue_most > 0 OR b.rate > 0 OR b.queue_rate > 0 AS bounded
      FROM maru.bounds b CROSS JOIN (VALUES (0::smallint, 8), (1, 4), (2, 1), (9, 1)) w(prio, weight)
      CROSS JOIN LATERAL (SELECT r.run_at FROM maru.ready r WHERE r.flow = b.flow AND r.prio = w.prio
        AND r.run_at <= t ORDER BY r.run_at LIMIT 1) due
      WHERE b.kind = ANY(kinds) AND NOT b.paused
      ORDER BY (w.prio = 9) DESC, hashint8(b.queue + f), due.run_at + w.prio * 5000000000
    LOOP
      EXIT WHEN left_ <= 0;
      room := CASE WHEN round = 1 THEN least(left_, l.share) ELSE left_ END;
      IF (l.bounded OR l.keyed) AND NOT locked THEN
        PERFORM pg_advisory_xact_lock(7001);
        locked := true;
      END IF;
      IF l.most > 0 THEN
        room := least(room, l.most - (SELECT count(*) FROM maru.claimed c JOIN maru.flow x ON x.id = c.flow WHERE x.kind = l.kind));
      END IF;
      IF l.queue_most > 0 THEN
        room := least(room, l.queue_most - (SELECT count(*) FROM maru.claimed c JOIN maru.flow x ON x.id = c.flow WHERE x.queue = l.queue));
      END IF;
      IF l.prio = 9 THEN
        room := least(room, 1 - (SELECT count(*) FROM maru.claimed c WHERE c.node = me AND c.suspect));
      END IF;
      CONTINUE WHEN room <= 0;
      IF l.rate > 0 OR l.queue_rate > 0 THEN
        room := least(room, maru.tokens(0::smallint, l.kind, '', l.rate, l.rate_period, t),
          maru.tokens(1::smallint, l.queue, '', l.queue_rate, l.queue_rate_period, t));
        IF room = 0 THEN
          at := greatest(maru.token_at(0::smallint, l.kind, '', l.rate, l.rate_period, t),
            maru.token_at(1::smallint, l.queue, '', l.queue_rate, l.queue_rate_period, t));
          next_at := least(next_at, at);
          CONTINUE;
        END IF;
      END IF;
      n := room;
      FOR i IN 1..50 LOOP
        SELECT x.got, x.seen, x.ids INTO m FROM maru.take(me, l.flow, l.prio::smallint, n, f, t, l.keyed) x;
        taken := taken || m.ids;
        left_ := left_ - m.got;
        room := room - m.got;
        more := more OR m.seen = n;
        IF l.rate > 0 AND m.got > 0 THEN
          PERFORM maru.spend(0::smallint, l.kind, array_fill(''::text, ARRAY[m.got]), l.rate, l.rate_period, t);
        END IF;
        IF l.queue_rate > 0 AND m.got > 0 THEN
          PERFORM maru.spend(1::smallint, l.queue, array_fill(''::text, ARRAY[m.got]), l.queue_rate, l.queue_rate_period, t);
        END IF;
        EXIT WHEN room <= 0 OR m.seen < n OR m.got = m.seen;
        n := least(1000, n * 4);
        n := least(n, CASE WHEN l.bounded THEN room ELSE n END);
      END LOOP;
    END LOOP;
  END LOOP;
  RETURN QUERY WITH x AS (SELECT j.id, f, j.flow, j.prio, j.attempt, j.max_attempts, j.crashes, j.timeout_ms, j.created_at,
      j.run_at, j.scheduled_at, j.uniq, j.error, j.args, j.extra FROM unnest(taken) c(id) JOIN maru.job j ON j.id = ANY(ARRAY[c.id])),
    freed AS (DELETE FROM maru.uniq WHERE ctid = ANY(ARRAY(SELECT y.ctid FROM x JOIN maru.flow fl ON fl.id = x.flow
      CROSS JOIN LATERAL (SELECT u.ctid FROM maru.uniq u WHERE u.kind = fl.kind AND u.key = x.uniq AND u.id = x.id OFFSET 0) y
      WHERE x.uniq IS NOT NULL AND maru.is_queued(x.extra))))
    SELECT * FROM x ORDER BY x.prio, x.run_at, x.id;
  RETURN QUERY SELECT NULL::bigint, f, NULL::int, NULL::smallint, NULL::smallint, NULL::smallint, NULL::smallint, NULL::int,
      NULL::bigint, CASE WHEN left_ <= 0 OR more THEN 0 ELSE least((SELECT min(d.run_at) FROM maru.flow fl
        CROSS JOIN (VALUES (0::smallint), (1), (2)) w(prio) CROSS JOIN LATERAL (SELECT r.run_at FROM maru.ready r
          WHERE r.flow = fl.id AND r.prio = w.prio AND r.run_at > t ORDER BY r.run_at LIMIT 1) d WHERE fl.kind = ANY(kinds)) - t,
        (SELECT greatest(v.at - t, 5000000) FROM (SELECT least(next_at, (SELECT min(b.wake_at) FROM maru.bucket b)) AS at) v
          WHERE v.at IS NOT NULL)) END,
      NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text;
END $$;

-- Counts ended members of batches, and pushes what follows the last ones. Returns how many of these there were.
CREATE OR REPLACE FUNCTION maru.count_members(ids bigint[], dones bigint[], faileds bigint[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE c record; b maru.batch; t bigint := maru.now(); n int := 0; a text;
BEGIN
  FOR c IN SELECT * FROM unnest(ids, dones, faileds) u(id, done, failed) ORDER BY id LOOP
    UPDATE maru.batch x SET succeeded = x.succeeded + c.done, failed = x.failed + c.failed WHERE x.id = c.id RETURNING * INTO b;
    CONTINUE WHEN NOT FOUND OR b.finished_at > 0 OR b.succeeded + b.failed < b.total;
    UPDATE maru.batch x SET finished_at = t WHERE x.id = c.id;
    CONTINUE WHEN b.last IS NULL;
    -- The counts' place is the end of the arguments: "$batch"}
    a := left(b.args, -9) || format('{"id":%s,"total":%s,"succeeded":%s,"failed":%s}}', b.id, b.total, b.succeeded, b.failed);
    INSERT INTO maru.job(id, flow, prio, max_attempts, timeout_ms, created_at, run_at, key, args, extra)
      VALUES(b.last, b.flow, b.prio, b.max_attempts, b.timeout_ms, t, t, b.key, a, b.extra);
    INSERT INTO maru.ready(id, flow, prio, run_at, key) VALUES(b.last, b.flow, b.prio, t, b.key);
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

-- The ends of most jobs: done, without results, of whose batches and workflows the caller takes care.
CREATE OR REPLACE FUNCTION maru.finish_plain(ids bigint[], fences bigint[], attempts smallint[], starts bigint[])
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE t bigint := maru.now(); h smallint; ours bigint[]; kf int[]; k text[]; uf int[]; u text[]; ui bigint[];
BEGIN
  SELECT value INTO h FROM maru.meta WHERE key = 'half';
  WITH mine AS (DELETE FROM maru.claimed c USING unnest(ids, fences, attempts, starts) e(id, fence, attempt, began)
    WHERE c.id = ANY(ARRAY[e.id]) AND c.fence = e.fence RETURNING c.id, e.attempt, e.began),
  over AS (DELETE FROM maru.job j USING mine m WHERE j.id = ANY(ARRAY[m.id])
    RETURNING j.id, j.flow, j.prio, j.max_attempts, j.created_at, j.uniq, j.key, m.attempt, m.began),
  past AS (INSERT INTO maru.past(half, id, fin, flow, prio, attempt, max_attempts, created_at, started_at, finished_at)
    SELECT h, id, 0, flow, prio, attempt, max_attempts, created_at, began, t FROM over)
  SELECT array_agg(id), array_agg(flow) FILTER (WHERE key IS NOT NULL), array_agg(key) FILTER (WHERE key IS NOT NULL),
      array_agg(flow) FILTER (WHERE uniq IS NOT NULL), array_agg(uniq) FILTER (WHERE uniq IS NOT NULL),
      array_agg(id) FILTER (WHERE uniq IS NOT NULL)
    INTO ours, kf, k, uf, u, ui FROM over;
  IF u IS NOT NULL THEN
    DELETE FROM maru.uniq WHERE ctid = ANY(ARRAY(SELECT x.ctid FROM unnest(uf, u, ui) o(flow, uniq, id)
      JOIN maru.flow fl ON fl.id = o.flow
      CROSS JOIN LATERAL (SELECT q.ctid FROM maru.uniq q WHERE q.kind = fl.kind AND q.key = o.uniq AND q.id = o.id OFFSET 0) x));
  END IF;
  IF k IS NOT NULL THEN
    PERFORM maru.open_keys(array_agg(x.flow), array_agg(x.key), t) FROM unnest(kf, k) x(flow, key)
      JOIN maru.bounds b ON b.flow = x.flow WHERE b.key_mosts HAVING count(*) > 0;
  END IF;
  RETURN QUERY SELECT unnest(ours);
END $$;

-- Writes ends; returns the ids that were still the caller's. fin: 0 done, 2 again later, 3 dead,
-- 4 cancelled, 5 back as it was, 6 expired (ORDER job_end). delays: ns from now, 0 = at once, in front.
CREATE OR REPLACE FUNCTION maru.finish(ids bigint[], fences bigint[], fins smallint[], attempts smallint[], delays bigint[],
  starts bigint[], ttls bigint[], errors text[], results text[])
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE t bigint := maru.now(); h smallint; ours bigint[]; k int[]; s text[]; q bigint[]; b bigint[]; bd bigint[]; bf bigint[];
  -- Whether the caller counts members of batches and decides for workflows, in this transaction (postgres/write.c).
  decides bool := coalesce(current_setting('maru.decides', true), '') = '1';
BEGIN
  IF decides AND 0 = ALL(fins) AND array_remove(results, NULL) = '{}' THEN
    RETURN QUERY SELECT maru.finish_plain(ids, fences, attempts, starts);
    RETURN;
  END IF;
  SELECT value INTO h FROM maru.meta WHERE key = 'half';
  WITH e AS (SELECT * FROM unnest(ids, fences, fins, attempts, delays, starts, ttls, errors, results)
      u(id, fence, fin, attempt, delay, began, ttl, error, result)),
  mine AS (DELETE FROM maru.claimed c USING e WHERE c.id = ANY(ARRAY[e.id]) AND c.fence = e.fence
    RETURNING c.id, c.flow, c.key, CASE WHEN c.cancel AND e.fin IN (2, 5) THEN 4 ELSE e.fin END AS fin,
      e.attempt, e.delay, e.began, e.ttl, e.error, e.result),
  over AS (DELETE FROM maru.job j USING mine m WHERE j.id = ANY(ARRAY[m.id]) AND m.fin NOT IN (2, 5)
    RETURNING j.id, j.flow, j.prio, j.max_attempts, j.crashes, j.timeout_ms, j.created_at, j.scheduled_at, j.uniq, j.key,
      j.args, j.extra, j.error AS error_before, m.fin, m.attempt, m.began, m.ttl, m.error, m.result),
  freed AS (DELETE FROM maru.uniq WHERE ctid = ANY(ARRAY(SELECT x.ctid FROM over o JOIN maru.flow fl ON fl.id = o.flow
    CROSS JOIN LATERAL (SELECT u.ctid FROM maru.uniq u WHERE u.kind = fl.kind AND u.key = o.uniq AND u.id = o.id OFFSET 0) x
    WHERE o.uniq IS NOT NULL))),
  dead AS (INSERT INTO maru.dead(id, flow, prio, attempt, max_attempts, crashes, timeout_ms, created_at, scheduled_at,
      started_at, dead_at, uniq, key, error, args, extra)
    SELECT id, flow, prio, attempt, max_attempts, crashes, timeout_ms, created_at, scheduled_at, began, t, uniq, key,
      coalesce(error, error_before), args, extra FROM over WHERE fin = 3),
  done AS (INSERT INTO maru.done(id, expires_at, flow, prio, attempt, max_attempts, created_at, started_at, finished_at, result)
    SELECT id, t + ttl, flow, prio, attempt, max_attempts, created_at, began, t, result FROM over WHERE fin = 0 AND result IS NOT NULL),
  past AS (INSERT INTO maru.past(half, id, fin, flow, prio, attempt, max_attempts, created_at, started_at, finished_at)
    SELECT h, id, fin, flow, prio, attempt, max_attempts, created_at, began, t FROM over
    WHERE fin IN (4, 6) OR (fin = 0 AND result IS NULL)),
  back AS (UPDATE maru.job j SET attempt = m.attempt, error = coalesce(m.error, j.error),
      run_at = CASE WHEN m.delay > 0 THEN t + m.delay ELSE 0 END
    FROM mine m WHERE j.id = ANY(ARRAY[m.id]) AND m.fin IN (2, 5) RETURNING j.id, j.flow, j.prio, j.crashes, j.run_at, j.key, j.uniq),
  strayed AS (INSERT INTO maru.stray(job, extra, fin, started_at, attempt, error, result)
    SELECT id, extra, fin, began, attempt, coalesce(error, error_before), result FROM over WHERE NOT decides AND extra ~ '"step":'),
  again AS (INSERT INTO maru.ready(id, flow, prio, run_at, key)
    SELECT id, flow, CASE WHEN crashes >= 2 THEN 9 ELSE prio END, run_at, key FROM back)
  SELECT array_agg(m.id), array_agg(m.flow) FILTER (WHERE y.key_mosts), array_agg(m.key) FILTER (WHERE y.key_mosts),
      (SELECT array_agg(id) FROM back WHERE uniq IS NOT NULL),
      (SELECT array_agg((extra::json->>'batch')::bigint) FROM over WHERE NOT decides AND extra ~ '"batch":'),
      (SELECT array_agg((fin = 0)::int::bigint) FROM over WHERE NOT decides AND extra ~ '"batch":'),
      (SELECT array_agg((fin <> 0)::int::bigint) FROM over WHERE NOT decides AND extra ~ '"batch":')
    INTO ours, k, s, q, b, bd, bf FROM mine m LEFT JOIN maru.bounds y ON y.flow = CASE WHEN m.key IS NOT NULL THEN m.flow END;
  IF q IS NOT NULL THEN -- before lock 7001: a push that has such a key may be about to take that
    PERFORM maru.keys_again(q);
  END IF;
  IF k IS NOT NULL THEN
    PERFORM maru.open_keys(k, s, t);
  END IF;
  IF b IS NOT NULL THEN
    PERFORM maru.count_members(b, bd, bf);
  END IF;
  RETURN QUERY SELECT unnest(ours);
END $$;

-- Lines of the log of failed attempts. totals: how many a job may have by now; the oldest go when they are too many.
CREATE OR REPLACE FUNCTION maru.log_attempts(jobs bigint[], attempts int[], totals int[], starts bigint[], ends bigint[],
  errors text[], tracebacks text[], lanes text[], node text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO maru.attempt(job, attempt, started_at, ended_at, error, traceback, node, lane)
    SELECT u.job, u.attempt, u.began, u.ended, u.error, u.traceback, log_attempts.node, u.lane
    FROM unnest(jobs, attempts, starts, ends, errors, tracebacks, lanes) u(job, attempt, began, ended, error, traceback, lane);
  DELETE FROM maru.attempt a USING unnest(jobs, totals) u(job, total) WHERE u.total >= 20 AND a.job = u.job
    AND a.id <= (SELECT b.id FROM maru.attempt b WHERE b.job = u.job ORDER BY b.id DESC OFFSET 20 LIMIT 1);
END $$;

-- What a node had that is gone comes back, in front. blamed: those that ran when it died: one more
-- crash, and with the second one dead. NULL, for nobody knows what ran or whether it died: all, and dead with the third.
-- how: what is known of its end.
CREATE OR REPLACE FUNCTION maru.recover(gone bigint, blamed bigint[], how text DEFAULT NULL) RETURNS int LANGUAGE plpgsql AS $$
DECLARE most int := CASE WHEN blamed IS NULL THEN 3 ELSE 2 END; doomed bigint[];
  batches bigint[]; none bigint[]; over bigint[]; n int; k int[]; s text[]; who text;
BEGIN
  -- Each statement sees what was committed before it: neither a cancel nor a late end may come in between.
  PERFORM 1 FROM maru.claimed WHERE node = gone FOR UPDATE;
  SELECT name INTO who FROM maru.node WHERE id = gone;
  PERFORM maru.log_attempts(array_agg(c.id), array_agg(j.attempt + 1), array_agg(j.attempt + j.crashes + 1), array_agg(c.at),
      array_agg(maru.now()), array_agg(format('%s; %s of %s times', coalesce(how, 'the lease of its node ran out while this'
        ' ran: the process died, or stood still'), j.crashes + 1, most)), NULL, NULL, who)
    FROM maru.claimed c JOIN maru.job j ON j.id = ANY(ARRAY[c.id]) WHERE c.node = gone AND (blamed IS NULL OR c.id = ANY(blamed))
    HAVING count(*) > 0;
  UPDATE maru.job j SET crashes = crashes + 1 FROM maru.claimed c
    WHERE c.node = gone AND j.id = ANY(ARRAY[c.id]) AND (blamed IS NULL OR c.id = ANY(blamed));
  SELECT coalesce(array_agg(j.id), '{}') INTO doomed FROM maru.claimed c JOIN maru.job j ON j.id = ANY(ARRAY[c.id])
    WHERE c.node = gone AND j.crashes >= most AND (blamed IS NULL OR c.id = ANY(blamed));
  INSERT INTO maru.dead(id, flow, prio, attempt, max_attempts, crashes, timeout_ms, created_at, scheduled_at,
      started_at, dead_at, uniq, key, error, args, extra)
    SELECT j.id, j.flow, j.prio, j.attempt, j.max_attempts, j.crashes, j.timeout_ms, j.created_at, j.scheduled_at, c.at,
      maru.now(), j.uniq, j.key, format('quarantined: took the process down %s times', j.crashes), j.args, j.extra
    FROM maru.claimed c JOIN maru.job j ON j.id = ANY(ARRAY[c.id]) WHERE c.node = gone AND j.id = ANY(doomed);
  INSERT INTO maru.past(half, id, fin, flow, prio, attempt, max_attempts, created_at, started_at, finished_at)
    SELECT (SELECT value FROM maru.meta WHERE key = 'half'), j.id, 4, j.flow, j.prio, j.attempt, j.max_attempts, j.created_at, c.at,
      maru.now() FROM maru.claimed c JOIN maru.job j ON j.id = ANY(ARRAY[c.id]) WHERE c.node = gone AND c.cancel AND NOT j.id = ANY(doomed);
  DELETE FROM maru.uniq u USING maru.claimed c, maru.job j, maru.flow fl WHERE c.node = gone AND j.id = ANY(ARRAY[c.id])
    AND (j.id = ANY(doomed) OR c.cancel) AND fl.id = j.flow AND u.kind = fl.kind AND u.key = j.uniq AND u.id = j.id;
  INSERT INTO maru.stray(job, extra, fin, started_at, attempt, error)
    SELECT j.id, j.extra, CASE WHEN j.id = ANY(doomed) THEN 3 ELSE 4 END, c.at, j.attempt,
      CASE WHEN j.id = ANY(doomed) THEN format('quarantined: took the process down %s times', j.crashes) END
    FROM maru.claimed c JOIN maru.job j ON j.id = ANY(ARRAY[c.id]) WHERE c.node = gone AND (j.id = ANY(doomed) OR c.cancel) AND j.extra ~ '"step":';
  SELECT array_agg(m.batch), array_agg(0::bigint), array_agg(m.n) INTO batches, none, over FROM (
    SELECT (j.extra::json->>'batch')::bigint AS batch, count(*) AS n FROM maru.claimed c JOIN maru.job j ON j.id = ANY(ARRAY[c.id])
    WHERE c.node = gone AND (j.id = ANY(doomed) OR c.cancel) AND j.extra ~ '"batch":' GROUP BY 1) m;
  DELETE FROM maru.job j USING maru.claimed c WHERE c.node = gone AND j.id = ANY(ARRAY[c.id]) AND (j.id = ANY(doomed) OR c.cancel);
  UPDATE maru.job j SET run_at = 0 FROM maru.claimed c WHERE c.node = gone AND j.id = ANY(ARRAY[c.id]);
  INSERT INTO maru.ready(id, flow, prio, run_at, key)
    SELECT j.id, j.flow, CASE WHEN j.crashes >= 2 THEN 9 ELSE j.prio END, 0, j.key
    FROM maru.claimed c JOIN maru.job j ON j.id = ANY(ARRAY[c.id]) WHERE c.node = gone;
  PERFORM maru.keys_again(array_agg(c.id)) FROM maru.claimed c WHERE c.node = gone;
  WITH x AS (DELETE FROM maru.claimed WHERE node = gone RETURNING flow, key)
  SELECT count(*), array_agg(x.flow) FILTER (WHERE x.key IS NOT NULL), array_agg(x.key) FILTER (WHERE x.key IS NOT NULL)
    INTO n, k, s FROM x;
  IF k IS NOT NULL THEN
    PERFORM maru.open_keys(k, s, maru.now());
  END IF;
  IF batches IS NOT NULL THEN
    PERFORM maru.count_members(batches, none, over);
  END IF;
  DELETE FROM maru.node WHERE id = gone;
  RETURN n;
END $$;

-- Recovers nodes whose lease ran out; returns their names and how many jobs they had.
CREATE OR REPLACE FUNCTION maru.reap() RETURNS TABLE(name text, jobs int) LANGUAGE plpgsql AS $$
DECLARE g record;
BEGIN
  FOR g IN SELECT n.id, n.name FROM maru.node n WHERE n.expires_at < maru.now() FOR UPDATE SKIP LOCKED LOOP
    name := g.name;
    jobs := maru.recover(g.id, NULL);
    RETURN NEXT;
  END LOOP;
END $$;

-- A queued job is gone; a claimed one is marked, and its node told. Returns 'gone', 'asked' or NULL.
CREATE OR REPLACE FUNCTION maru.cancel(job_id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE j maru.job; h smallint; at_node bigint;
BEGIN
  FOR i IN 1..3 LOOP
    SELECT * INTO j FROM maru.job WHERE id = job_id;
    IF NOT FOUND THEN
      RETURN NULL;
    END IF;
    DELETE FROM maru.ready r WHERE r.flow = j.flow AND r.prio = CASE WHEN j.crashes >= 2 THEN 9 ELSE j.prio END
      AND r.run_at = j.run_at AND r.id = job_id;
    IF NOT FOUND THEN
      DELETE FROM maru.parked p WHERE p.flow = j.flow AND p.key = j.key AND p.id = job_id;
    END IF;
    IF FOUND THEN
      DELETE FROM maru.job WHERE id = job_id;
      DELETE FROM maru.uniq u USING maru.flow fl WHERE fl.id = j.flow AND u.kind = fl.kind AND u.key = j.uniq AND u.id = job_id;
      SELECT value INTO h FROM maru.meta WHERE key = 'half';
      INSERT INTO maru.past(half, id, fin, flow, prio, attempt, max_attempts, created_at, started_at, finished_at)
        VALUES(h, job_id, 4, j.flow, j.prio, j.attempt, j.max_attempts, j.created_at, 0, maru.now());
      INSERT INTO maru.stray(job, extra, fin, started_at, attempt) SELECT job_id, j.extra, 4, 0, j.attempt WHERE j.extra ~ '"step":';
      IF j.extra ~ '"batch":' AND maru.count_members(ARRAY[(j.extra::json->>'batch')::bigint], '{0}', '{1}') > 0 THEN
        PERFORM pg_notify('maru', 'w');
      END IF;
      RETURN 'gone';
    END IF;
    UPDATE maru.claimed SET cancel = true WHERE id = job_id RETURNING node INTO at_node;
    IF FOUND THEN
      PERFORM pg_notify('maru', format('c %s %s', at_node, job_id));
      RETURN 'asked';
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- A dead job is forgotten, another one as by cancel().
CREATE OR REPLACE FUNCTION maru.discard(job_id bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM maru.dead WHERE id = job_id;
  RETURN CASE WHEN FOUND THEN 'ok' ELSE maru.cancel(job_id) END;
END $$;

-- A dead job becomes ready with all its attempts, a delayed one at once. 'ok', 'taken' (its key) or NULL.
CREATE OR REPLACE FUNCTION maru.retry(job_id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE j maru.job; d maru.dead; t bigint := maru.now();
BEGIN
  SELECT * INTO j FROM maru.job WHERE id = job_id;
  IF FOUND THEN
    UPDATE maru.ready r SET run_at = t WHERE r.flow = j.flow AND r.prio = CASE WHEN j.crashes >= 2 THEN 9 ELSE j.prio END
      AND r.run_at = j.run_at AND r.id = job_id AND r.run_at > t;
    IF NOT FOUND THEN
      RETURN NULL;
    END IF;
    UPDATE maru.job SET run_at = t WHERE id = job_id;
    RETURN 'ok';
  END IF;
  DELETE FROM maru.dead WHERE id = job_id RETURNING * INTO d;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  IF d.uniq IS NOT NULL THEN
    INSERT INTO maru.uniq(kind, key, id) SELECT fl.kind, d.uniq, d.id FROM maru.flow fl WHERE fl.id = d.flow ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'an unfinished job has its unique key' USING ERRCODE = 'MA002';
    END IF;
  END IF;
  INSERT INTO maru.job(id, flow, prio, max_attempts, timeout_ms, created_at, run_at, scheduled_at, uniq, key, args, extra)
    VALUES(d.id, d.flow, d.prio, d.max_attempts, d.timeout_ms, d.created_at, t, d.scheduled_at, d.uniq, d.key, d.args,
      -- where it counts as failed; and it is due now because somebody says so
      regexp_replace(regexp_replace(d.extra, '"(batch|expires_at)":[0-9]+,?', '', 'g'), ',\}$', '}'));
  INSERT INTO maru.ready(id, flow, prio, run_at, key) VALUES(d.id, d.flow, d.prio, t, d.key);
  RETURN 'ok';
END $$;

-- What an operator sets or takes back of a queue (bits: enum queue_field); returns what is set then.
CREATE OR REPLACE FUNCTION maru.set_queue(queue text, sets int, resets int, paused bool, concurrency int, rate bigint, rate_period bigint,
  weight int, key_concurrency int, key_rate bigint, key_rate_period bigint)
RETURNS SETOF maru.queue LANGUAGE sql AS $$
  INSERT INTO maru.queue(name) SELECT set_queue.queue WHERE NOT EXISTS (SELECT 1 FROM maru.queue q WHERE q.name = set_queue.queue)
    ON CONFLICT DO NOTHING; -- nothing was pushed there yet
  UPDATE maru.queue q SET set = (q.set | sets) & ~resets,
    paused = CASE WHEN sets & 1 > 0 THEN set_queue.paused WHEN resets & 1 > 0 THEN false ELSE q.paused END,
    concurrency = CASE WHEN sets & 2 > 0 THEN set_queue.concurrency ELSE q.concurrency END,
    rate = CASE WHEN sets & 4 > 0 THEN set_queue.rate ELSE q.rate END,
    rate_period = CASE WHEN sets & 4 > 0 THEN set_queue.rate_period ELSE q.rate_period END,
    weight = CASE WHEN sets & 8 > 0 THEN set_queue.weight ELSE q.weight END,
    key_concurrency = CASE WHEN sets & 16 > 0 THEN set_queue.key_concurrency ELSE q.key_concurrency END,
    key_rate = CASE WHEN sets & 32 > 0 THEN set_queue.key_rate ELSE q.key_rate END,
    key_rate_period = CASE WHEN sets & 32 > 0 THEN set_queue.key_rate_period ELSE q.key_rate_period END
  WHERE q.name = set_queue.queue;
  SELECT maru.open_keys(array_agg(x.flow), array_agg(x.key), maru.now()) FROM (SELECT DISTINCT p.flow, p.key FROM maru.queue q
    JOIN maru.flow fl ON fl.queue = q.id JOIN maru.parked p ON p.flow = fl.id WHERE q.name = set_queue.queue LIMIT 1000) x
    HAVING count(*) > 0;
  SELECT * FROM maru.queue q WHERE q.name = set_queue.queue
$$;

-- What keeps a job that nobody has claimed. has_node: one lives that runs jobs; has_kind: one that runs these.
CREATE OR REPLACE FUNCTION maru.running(of_kind int, of_queue int, of_key text) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT count(*) FROM maru.flow y JOIN maru.claimed c ON c.flow = y.id WHERE (of_kind IS NULL OR y.kind = of_kind)
    AND (of_queue IS NULL OR y.queue = of_queue) AND (of_key IS NULL OR c.key = of_key)
$$;
CREATE OR REPLACE FUNCTION maru.why(job_id bigint) RETURNS TABLE(run_at bigint, not_due int, paused int, has_node int,
  has_kind int, now bigint, kind_n bigint, kind_most int, kind_at bigint, queue_n bigint, queue_most int, queue_at bigint,
  queue_key_n bigint, queue_key_most int, queue_key_at bigint, key_n bigint, key_most int, key_at bigint) LANGUAGE sql STABLE AS $$
  WITH t AS MATERIALIZED (SELECT maru.now() AS now), n AS MATERIALIZED (SELECT kinds FROM maru.node, t WHERE expires_at > t.now AND capacity > 0)
  SELECT j.run_at, (j.run_at > t.now)::int, b.paused::int, EXISTS(SELECT 1 FROM n)::int,
    EXISTS(SELECT 1 FROM n WHERE n.kinds IS NULL OR b.kind = ANY(n.kinds))::int, t.now,
    maru.running(b.kind, NULL, NULL), b.most, maru.token_at(0::smallint, b.kind, '', b.rate, b.rate_period, t.now),
    maru.running(NULL, b.queue, NULL), b.queue_most, maru.token_at(1::smallint, b.queue, '', b.queue_rate, b.queue_rate_period, t.now),
    CASE WHEN j.key IS NULL THEN 0 ELSE maru.running(NULL, b.queue, j.key) END, b.queue_key_most,
    maru.token_at(2::smallint, b.queue, j.key, b.queue_key_rate, b.queue_key_rate_period, t.now),
    CASE WHEN j.key IS NULL THEN 0 ELSE maru.running(b.kind, NULL, j.key) END, b.key_most,
    maru.token_at(3::smallint, b.kind, j.key, b.key_rate, b.key_rate_period, t.now)
  FROM t, maru.job j JOIN maru.bounds b ON b.flow = j.flow WHERE j.id = job_id
    AND NOT EXISTS (SELECT 1 FROM maru.claimed c WHERE c.id = j.id)
$$;

-- Upkeep by whichever node comes first. Returns false when another is at it.
CREATE OR REPLACE FUNCTION maru.upkeep(dead_ttl bigint, past_rows bigint) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE t bigint := maru.now(); width bigint := 21600000000000; p record; h bigint; low bigint; made bool := false;
BEGIN
  IF NOT pg_try_advisory_xact_lock(7003) THEN
    RETURN false;
  END IF;
  FOR i IN 0..5 LOOP
    low := (t / width + i) * width;
    IF to_regclass('maru.done_' || low / width) IS NULL
       AND NOT EXISTS (SELECT 1 FROM maru.done_rest WHERE expires_at >= low AND expires_at < low + width) THEN
      -- Attached, for PARTITION OF would keep every end waiting until this commits.
      EXECUTE format('CREATE TABLE maru.done_%s (LIKE maru.done)', low / width);
      EXECUTE format('ALTER TABLE maru.done ATTACH PARTITION maru.done_%s FOR VALUES FROM (%s) TO (%s)', low / width, low, low + width);
      made := true;
    END IF;
  END LOOP;
  DELETE FROM maru.done_rest WHERE ctid = ANY(ARRAY(SELECT ctid FROM maru.done_rest WHERE expires_at < t LIMIT 5000));
  DELETE FROM maru.dead WHERE ctid = ANY(ARRAY(SELECT ctid FROM maru.dead WHERE dead_at < t - dead_ttl LIMIT 5000));
  DELETE FROM maru.attempt WHERE id = ANY(ARRAY(SELECT id FROM maru.attempt ORDER BY id LIMIT 20000)) AND ended_at < t - dead_ttl;
  DELETE FROM maru.held WHERE ctid = ANY(ARRAY(SELECT ctid FROM maru.held WHERE until < t LIMIT 20000));
  DELETE FROM maru.batch WHERE id = ANY(ARRAY(SELECT id FROM maru.batch WHERE finished_at > 0 AND finished_at < t - dead_ttl
    ORDER BY finished_at LIMIT 5000));
  DELETE FROM maru.writer WHERE at < t - 86400000000000;
  SELECT value INTO h FROM maru.meta WHERE key = 'half';
  IF (SELECT pg_relation_size(format('maru.past_%s', h)::regclass)) > past_rows * 100 THEN
    EXECUTE format('TRUNCATE maru.past_%s', 1 - h);
    UPDATE maru.meta SET value = 1 - h WHERE key = 'half';
  END IF;
  DELETE FROM maru.bucket WHERE ctid = ANY(ARRAY(SELECT ctid FROM maru.bucket WHERE full_at < t AND wake_at IS NULL LIMIT 20000));
  PERFORM maru.open_keys(array_agg(x.flow), array_agg(x.key), t) FROM (SELECT DISTINCT p_.flow, p_.key FROM maru.parked p_
    LIMIT 1000) x HAVING count(*) > 0;
  -- Last, for ends wait from here on; and not after an ATTACH, for whom an end may wait that this waits for.
  FOR p IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'maru.done'::regclass AND c.relname ~ '^done_[0-9]+$' LOOP
    IF NOT made AND (substr(p.relname, 6)::bigint + 1) * width < t THEN
      EXECUTE format('DROP TABLE maru.%I', p.relname);
    END IF;
  END LOOP;
  RETURN true;
END $$;
