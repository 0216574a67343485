-- What operators ask in the data explorer, kept by name.
create table questions (
  name      text   not null primary key,
  source    text   not null,
  sql       text   not null,
  saved_at  bigint not null
);
