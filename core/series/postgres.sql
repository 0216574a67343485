-- What the series of all servers of one database share.  Run again whenever its version is another.
-- Whoever makes or drops tables holds the advisory lock until the transaction ends.
create schema if not exists maru_series;

create table if not exists maru_series.declared (
  relation  text primary key,
  plugin    text not null,
  series    text not null,
  width_us  bigint not null,
  made_at   timestamptz not null default now()
);

-- One number a batch; a point's order of arrival is that number, and its place in the batch.
create sequence if not exists maru_series.batch;

create or replace function maru_series.lock_tables() returns void language sql as
$$ select pg_advisory_xact_lock(7021786543105901938) $$;

create or replace function maru_series.try_lock_tables() returns boolean language sql as
$$ select pg_try_advisory_xact_lock(7021786543105901938) $$;

create or replace function maru_series.us(t timestamp) returns bigint language sql immutable as
$$ select (extract(epoch from t) * 1000000)::bigint $$;

create or replace function maru_series.at(us bigint) returns timestamp language sql immutable as
$$ select timestamp 'epoch' + make_interval(secs => us / 1000000) $$;

-- Partitions that are there, by their beginning.
create or replace function maru_series.parts(t text) returns bigint[] language sql stable as $$
  select coalesce(array_agg(us order by us), '{}') from (
    select maru_series.us(to_timestamp(split_part(c.relname, '#', 2), 'YYYYMMDDHH24')::timestamp) us
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = to_regclass(format('maru_series.%I', t)) and c.relname !~ '#rest$') p
$$;

-- What lay in #rest for lack of the partition goes into it.  Who writes into #rest is waited for.
create or replace function maru_series.make_part(t text, lo timestamp, hi timestamp) returns void language plpgsql as $$
declare
  part text := t || '#' || to_char(lo, 'YYYYMMDDHH24');
begin
  if to_regclass(format('maru_series.%I', part)) is not null then
    return;
  end if;
  execute format('lock table maru_series.%I in access exclusive mode', t || '#rest');
  execute format('create table maru_series.%I (like maru_series.%I)', part, t);
  execute format('with late as (delete from maru_series.%I where at >= %L and at < %L returning *)'
    ' insert into maru_series.%I select * from late', t || '#rest', lo, hi, part);
  execute format('alter table maru_series.%I attach partition maru_series.%I for values from (%L) to (%L)',
    t, part, lo, hi);
end $$;

-- Makes those that are missing of the partitions beginning there; answers with all there are.
create or replace function maru_series.make_parts(t text, starts bigint[]) returns bigint[] language plpgsql as $$
declare
  width bigint := (select width_us from maru_series.declared where relation = t);
  start bigint;
begin
  perform maru_series.lock_tables();
  for start in select unnest(starts) except select unnest(maru_series.parts(t)) order by 1 loop
    perform maru_series.make_part(t, maru_series.at(start), maru_series.at(start + width));
  end loop;
  return maru_series.parts(t);
end $$;

create or replace function maru_series.make_table(t text, k text[], v text[]) returns void language plpgsql as $$
begin
  execute format('create table maru_series.%I (at timestamp not null, _order bigint not null%s%s) partition by range (at)', t,
    (select coalesce(string_agg(format(', %I text collate "C" not null', x), '' order by i), '')
     from unnest(k) with ordinality u(x, i)),
    (select string_agg(format(', %I double precision', x), '' order by i) from unnest(v) with ordinality u(x, i)));
  execute format('create table maru_series.%I partition of maru_series.%I default', t || '#rest', t);
  execute format('create index on maru_series.%I (%sat, _order)', t,
    (select coalesce(string_agg(format('%I, ', x), '' order by i), '') from unnest(k) with ordinality u(x, i)));
end $$;

-- The table as it is declared: made, or given the values it lacks.  null as width: its keys are others.
create or replace function maru_series.declare(t text, owner text, name text, k text[], v text[], wanted bigint,
  out width bigint, out added text[]) language plpgsql as $$
declare
  kept text[];
  x text;
begin
  perform maru_series.lock_tables();
  if to_regclass(format('maru_series.%I', t)) is null then
    perform maru_series.make_table(t, k, v);
    insert into maru_series.declared(relation, plugin, series, width_us) values (t, owner, name, wanted)
    on conflict (relation) do update set width_us = excluded.width_us;
  end if;
  select array_agg(attname::text) into kept from pg_catalog.pg_attribute
  where attrelid = to_regclass(format('maru_series.%I', t)) and attnum > 0 and not attisdropped
    and atttypid = 'text'::regtype;
  if not (coalesce(kept, '{}') @> k and k @> coalesce(kept, '{}')) then
    return;
  end if;
  added := '{}';
  for x in select unnest(v) except select attname::text from pg_catalog.pg_attribute
      where attrelid = to_regclass(format('maru_series.%I', t)) and attnum > 0 and not attisdropped loop
    execute format('alter table maru_series.%I add column %I double precision', t, x);
    added := added || x;
  end loop;
  select width_us into width from maru_series.declared where relation = t;
end $$;

-- Drops points before that instant, whole partitions at a time; how many there were. Dropping waits for
-- who reads, and whoever comes then waits behind it: so it gives up soon, and the next one does it.
create or replace function maru_series.expire(t text, before timestamp) returns bigint language plpgsql as $$
declare
  width bigint := (select width_us from maru_series.declared where relation = t);
  start bigint;
  part text;
  n bigint;
  dropped bigint := 0;
begin
  if not maru_series.try_lock_tables() then
    return 0; -- another server is at it
  end if;
  perform set_config('lock_timeout', '1s', true);
  foreach start in array maru_series.parts(t) loop
    if start + width <= maru_series.us(before) then
      part := t || '#' || to_char(maru_series.at(start), 'YYYYMMDDHH24');
      execute format('lock table maru_series.%I in access exclusive mode', part);
      execute format('select count(*) from maru_series.%I', part) into n;
      execute format('drop table maru_series.%I', part);
      dropped := dropped + n;
    end if;
  end loop;
  execute format('delete from maru_series.%I where at < %L', t, before);
  get diagnostics n = row_count;
  return dropped + n;
end $$;

comment on schema maru_series is 'series of maru, version 2';
