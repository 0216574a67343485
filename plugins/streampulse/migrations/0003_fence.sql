-- The fence of the lock under which an analysis was stored: an older one changes nothing.

alter table events add column fence bigint not null default 0;
