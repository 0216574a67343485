-- What rules had to say, and where it went. Instants are seconds since 1970, 0 = none.

create table notices (
  -- sqlite:
  id integer primary key autoincrement,
  -- postgres:
  id bigint generated always as identity primary key,
  -- all:
  rule            text not null,
  event           text not null,
  level           text not null,
  title           text not null,
  lines           text not null,
  count           integer not null,
  first_at        double precision not null,
  last_at         double precision not null,
  due_at          double precision not null,
  state           text not null,
  step            integer not null,
  acknowledged_at double precision not null
);

create index notices_waiting on notices (rule, event, state);

create table deliveries (
  -- sqlite:
  id integer primary key autoincrement,
  -- postgres:
  id bigint generated always as identity primary key,
  -- all:
  notice   bigint not null,
  channel  text not null,
  step     integer not null,
  state    text not null,
  attempts integer not null,
  message  text not null,
  at       double precision not null
);

create index deliveries_of on deliveries (notice);
