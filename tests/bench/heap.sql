-- SPDX-License-Identifier: BSD-2-Clause
-- For scripts/bench heap: a database in memory.
create table item (id integer primary key, name text, kind integer, note text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 120000)
insert into item select i, 'item ' || (i * 7919 % 120000), i % 97,
	substr('a note of some length that differs by row', 1, i % 40)
from n;
create index item_name on item (name);
create index item_kind on item (kind, note);
select kind, count(*), max(note), group_concat(name) from item
	group by kind having count(*) > 5 order by 2 desc limit 5;
select count(*) from item a join item b on a.name = 'item ' || b.id;
update item set note = note || upper(name) where kind % 3 = 0;
delete from item where id % 5 = 0;
select sum(length(replace(name || note, 'i', 'ii'))) from item;
select count(distinct note) from item;
