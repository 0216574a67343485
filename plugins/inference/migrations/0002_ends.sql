-- What the failed ones failed for, {"code": n}, and how many were cancelled, which are not failed.
alter table tallies add column reasons text not null default '{}';
alter table tallies add column cancelled bigint not null default 0;

-- Jobs that died and whose submissions have been closed for it.
create table deaths (
  job  bigint not null primary key,
  at   double precision not null
);
