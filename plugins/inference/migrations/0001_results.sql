-- What became of submissions. A queued one is its job alone. Instants are seconds since 1970.

create table results (
-- sqlite:
  seq          integer primary key autoincrement,
-- postgres:
  seq          bigint generated always as identity primary key,
-- all:
  id           text not null unique,
  model_name   text not null,
  status       text not null,
  finished_at  double precision not null,
  body         text not null
);

create index results_finished on results (finished_at);
create index results_other on results (status, seq) where status <> 'completed';

-- How many ended and how long that took: one row for each minute, model and writer, so that nobody
-- waits for another. Older ones are folded into one writer's, '', and hour by hour.
create table tallies (
  minute      bigint  not null,
  model_name  text    not null,
  writer      text    not null,
  completed   bigint  not null,
  failed      bigint  not null,
  latency     text    not null,
  processing  text    not null,
  primary key (minute, model_name, writer)
);

-- An Idempotency-Key and the submission it led to.
create table submissions (
  key     text not null primary key,
  digest  text not null,
  id      text not null,
  at      double precision not null
);

create index submissions_at on submissions (at);

-- Versions that were uploaded; their bytes are objects.
create table versions (
  model_name  text not null,
  version     text not null,
  bytes       bigint not null,
  sha256      text not null,
  info        text not null,
  created_at  double precision not null,
  primary key (model_name, version)
);

-- Which version answers, and which one is run beside it to be compared.
create table choices (
  model_name  text not null primary key,
  current     text not null,
  shadow      text not null
);

-- What the comparison found: sums over the series that both versions forecast.
create table comparisons (
  model_name     text not null,
  current        text not null,
  shadow         text not null,
  writer         text not null,
  series         bigint not null,
  failed         bigint not null,
  points         bigint not null,
  difference     double precision not null,
  largest        double precision not null,
  judged         bigint not null,
  error_current  double precision not null,
  error_shadow   double precision not null,
  ms_current     double precision not null,
  ms_shadow      double precision not null,
  primary key (model_name, current, shadow, writer)
);
