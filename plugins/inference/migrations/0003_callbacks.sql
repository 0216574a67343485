-- Which job calls back for a submission: the queue knows how that goes.
create table callbacks (
  id   text not null primary key,
  job  bigint not null,
  at   double precision not null
);

create index callbacks_at on callbacks (at);
