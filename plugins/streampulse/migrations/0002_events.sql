-- Surges, and what was found out about them. Written PENDING together with the analysis job.

create table events (
-- sqlite:
  id            integer primary key,
-- postgres:
  id            bigint generated always as identity primary key,
-- all:
  platform      text   not null,
  channel_id    text   not null,
  channel_name  text   not null,
  broadcast_id  text   not null,
  title         text   not null,
  category      text   not null,
  started_at    bigint not null,
  detected_at   bigint not null,
  viewers       bigint not null,
  previous      bigint not null,
  baseline      double precision not null,
  ratio         double precision not null,
  zscore        double precision not null,
  status        text   not null,
  analysis      text   not null,
  analyzed_at   bigint not null,
  unique (platform, channel_id, detected_at)
);

create index events_status on events (status, detected_at);
create index events_detected on events (detected_at);
