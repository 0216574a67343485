-- What is live, what was, and what changed meanwhile. Instants are seconds since 1970, 0 = none.

create table broadcasts (
  platform      text   not null,
  broadcast_id  text   not null,
  channel_id    text   not null,
  channel_name  text   not null,
  title         text   not null,
  category      text   not null,
  adult         integer not null,
  url           text   not null,
  started_at    bigint not null,
  first_seen    bigint not null,
  last_seen     bigint not null,
  ended_at      bigint not null,
  viewers       bigint not null,
  peak          bigint not null,
  primary key (platform, broadcast_id)
);

create index broadcasts_channel on broadcasts (platform, channel_id, last_seen);
create index broadcasts_ended on broadcasts (platform, ended_at, last_seen);

-- Titles and categories that changed between two collections: evidence for the analysis.
create table changes (
  platform    text   not null,
  channel_id  text   not null,
  at          bigint not null,
  field       text   not null,
  old_value   text   not null,
  new_value   text   not null
);

create index changes_channel on changes (platform, channel_id, at);
create index changes_at on changes (at);

-- The newest collection of each platform as the live page shows it, in one JSON text.
create table boards (
  platform  text   not null primary key,
  at        bigint not null,
  body      text   not null
);

create table platforms (
  platform      text   not null primary key,
  status        text   not null,
  error         text   not null,
  source        text   not null,
  attempted_at  bigint not null,
  collected_at  bigint not null,
  lives         bigint not null,
  viewers       bigint not null
);
