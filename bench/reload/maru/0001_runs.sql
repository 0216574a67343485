create table shop_runs (
  n bigint not null
);
