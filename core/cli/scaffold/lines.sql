create table NAME_lines (
  -- sqlite:
  id integer primary key,
  -- postgres:
  id bigint generated always as identity primary key,
  -- all:
  text text not null,
  at double precision not null
);
create index NAME_lines_at on NAME_lines (at);
