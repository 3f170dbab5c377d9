# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# Real programs: each does under the shim what it does without, and nearly all
# of its memory has an owner. tests/e2e/packages lists what they are in.

# owned [PID]: of the anonymous memory outside [heap], [stack] and malloc's
# arenas at least 99 % is attributed; LEAST KiB of it there are at all.
owned() {
	local least=$1 of=${2:-$pid}

	pid=$of
	report --by site
	cp report.json owned.json
	holds "rss(owner='anonshim') > 0"
	holds "outside() >= $least"
	"$python" -IS "$E2E_DIR/ask.py" report.json "$pid" \
		"r['unattributed_kib'] * 100 <= outside()" || {
		"$anonshim" explain "$pid" | sed -n 1,200p
		fail "more than 1 % belongs to nobody"
	}
}

# waits TEXT COMMAND...: under the shim, in the background, until it prints
# TEXT; sets $pid. What it prints is in ./out.
waits() {
	local text=$1

	shift
	rm -f out
	env LD_PRELOAD="$shim" "$@" >out 2>&1 </dev/null &
	pid=$!
	started+=("$pid")
	await out "$text"
}

# stopped NAME KIB: a descendant of $pid with that name, once it is as large,
# and held; sets $pid.
stopped() {
	soon is_stopped "$@" || fail "no $1 with $2 KiB was seen"
}

is_stopped() {
	local one

	for one in $(descendants "$pid"); do
		is_large "$one" "$@" || continue
		kill -STOP "$one"
		pid=$one
		return 0
	done
	return 1
}

descendants() {
	local child

	echo "$1"
	# shellcheck disable=SC2013 # words they are
	for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
		descendants "$child"
	done
}

is_large() {
	[[ $(cat "/proc/$1/comm" 2>/dev/null) == "$2" ]] || return 1
	(($(awk '/^RssAnon/ { print $2 }' "/proc/$1/status" 2>/dev/null ||
		echo 0) > $3))
}

# python3 -------------------------------------------------------------------

# Times and loads are not part of what the tests say.
python_own_tests() {
	under "$python" -m test test_mmap test_threading test_subprocess \
		>log 2>&1 || status=$?
	grep -E '^(Tests result|All [0-9]+ tests|test_.* (failed|skipped))' \
		log || :
	grep -E '^(ERROR|FAIL): ' log | sort || :
	tail -n 15 log >&2
	rm -rf log build
	return "${status:-0}"
}

test_python_s_own_tests() { # 600 s
	heavy
	"$python" -c 'import test.test_mmap' 2>/dev/null ||
		skip "no libpython3-testsuite"
	alike_at_once python_own_tests
	contains plain.out "SUCCESS"
}

python_script() {
	cat >script.py <<-'EOF'
		import mmap, sys, threading, hashlib, multiprocessing
		kept = [bytes([i % 256]) * 300000 for i in range(100)]
		kept.append({i: str(i) for i in range(200000)})
		maps = [mmap.mmap(-1, 1 << 20) for _ in range(20)]
		for i, m in enumerate(maps):
		    m.write(bytes([i]) * (1 << 20))
		def work(n, out):
		    out[n] = hashlib.sha256(maps[n]).hexdigest()
		out = {}
		threads = [threading.Thread(target=work, args=(n, out))
		           for n in range(20)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		print(hashlib.sha256(repr(sorted(out.items())).encode()
		                     ).hexdigest())
		def square(x):
		    return x * x
		with multiprocessing.get_context("fork").Pool(2) as pool:
		    print(sum(pool.map(square, range(1000))))
		if len(sys.argv) > 1:
		    print("ready", flush=True)
		    threading.Event().wait()
	EOF
	under "$python" script.py
}

test_python() { # 120 s
	slow
	alike python_script
	waits ready "$python" plain/script.py wait
	owned 40000
	holds "rss(owner=re('python|mmap')) > 30000"
}

# node ----------------------------------------------------------------------

node_script() {
	cat >script.js <<-'EOF'
		const { Worker, isMainThread } = require('worker_threads');
		const crypto = require('crypto'), zlib = require('zlib');
		if (!isMainThread) {
		    let sum = 0;
		    for (let i = 0; i < 3e6; i++) sum = (sum * 31 + i) | 0;
		    require('worker_threads').parentPort.postMessage(sum);
		} else {
		    const kept = [];
		    for (let i = 0; i < 3e5; i++) kept.push({ i, s: 'x' + i });
		    const big = Buffer.alloc(32 << 20, 7);
		    console.log(crypto.createHash('sha256').update(big)
		        .digest('hex'));
		    console.log(zlib.gzipSync(big).length > 1000);
		    console.log(kept.reduce((a, b) => a + b.i, 0));
		    console.log(require('child_process')
		        .execSync('echo child').toString());
		    const w = new Worker(__filename);
		    w.on('message', m => {
		        console.log(m);
		        if (!process.argv[2]) return;
		        console.log('ready');
		        globalThis.kept = [kept, big];
		        setInterval(() => {}, 1e6);
		    });
		}
	EOF
	under node script.js
}

test_node() { # 180 s
	slow
	not_in_lab
	needs node
	alike node_script
	waits ready node plain/script.js wait
	owned 40000
}

# java ----------------------------------------------------------------------

java_version() { under java -version 2>&1; }

java_program() {
	cat >Small.java <<-'EOF'
		import java.util.*;
		import java.util.stream.*;

		public class Small {
		    public static void main(String[] args) throws Exception {
		        List<byte[]> kept = new ArrayList<>();
		        for (int i = 0; i < 40; i++)
		            kept.add(new byte[1 << 20]);
		        Map<Integer, String> map = new TreeMap<>();
		        for (int i = 0; i < 200000; i++) map.put(i, "v" + i);
		        long sum = IntStream.range(0, 1000000).parallel()
		            .mapToLong(i -> (long) i * i).sum();
		        System.out.println(sum);
		        System.out.println(map.size() + " " + kept.size());
		        Thread t = new Thread(() ->
		            System.out.println("thread"));
		        t.start();
		        t.join();
		        if (args.length > 0) {
		            System.out.println("ready");
		            System.out.flush();
		            Thread.sleep(1000000);
		        }
		        System.exit(7);
		    }
		}
	EOF
	status=0
	under java -Xmx256m Small.java || status=$?
	echo "status $status"
}

test_java() { # 180 s
	slow
	not_in_lab
	needs java
	alike java_version
	contains plain.out ersion
	rm -r plain shimmed
	alike java_program
	contains plain.out "status 7"
	waits ready java -Xmx256m plain/Small.java wait
	owned 40000
}

# sqlite3 -------------------------------------------------------------------

sqlite_rows() { less 5000 200000; }

sqlite_make() {
	cat <<-EOF
		pragma cache_size = -65536;
		create table t (id integer primary key, a text, b blob);
		with recursive n(i) as
			(select 1 union all select i + 1 from n
			where i < $(sqlite_rows))
		insert into t select i,
			printf('row %d of many', i * 7919 % 99991),
			zeroblob(380) from n;
		create index t_a on t (a);
		select count(*), sum(length(b)), max(a) from t;
		select a, count(*) from t group by a order by 2 desc, 1 limit 5;
		pragma mmap_size = 268435456;
		select sum(length(a)) from t;
		pragma integrity_check;
	EOF
}

sqlite_work() { sqlite_make | under sqlite3 db; }

test_sqlite() { # 180 s
	slow
	needs sqlite3
	alike sqlite_work
	contains plain.out ok
	(($(stat -c %s plain/db) > $(less 2000000 90000000))) ||
		fail "the database is small"
	mkfifo commands
	env LD_PRELOAD="$shim" sqlite3 db <commands >out 2>&1 &
	pid=$!
	started+=("$pid")
	exec 7>commands
	sqlite_make >&7
	echo "select 'ready';" >&7
	await out ready
	# what sqlite has is malloc's
	owned 0
	holds "r['anonymous']['rss_kib'] > $(less 2000 40000)"
	exec 7>&-
}

# gcc -----------------------------------------------------------------------

large_source() {
	local i

	for ((i = 0; i < $1; i++)); do
		echo "int f$i(int a, int *b) { int s = 0;" \
			"for (int i = 0; i < a; i++) {" \
			"s += b[i] * $i; if (s % $((i + 2)) == 1)" \
			"s ^= f$((i > 0 ? i - 1 : 0))(s & 7, b); } return s; }"
	done
}

gcc_compile() {
	large_source "$(less 30 1000)" >large.c
	under gcc -O2 -c large.c -o large.o
	under gcc -shared -o large.so large.o
}

test_gcc() { # 300 s
	slow
	needs gcc
	alike gcc_compile
	[[ -s plain/large.o ]] || fail "nothing was compiled"
	[[ ! $E2E_LAB ]] || return 0
	large_source 3000 >large.c
	env LD_PRELOAD="$shim" gcc -O2 -c large.c -o large.o &
	pid=$!
	started+=("$pid")
	stopped cc1 60000
	started+=("$pid")
	owned 20000
	kill -CONT "$pid"
}

# git -----------------------------------------------------------------------

git_repository() {
	local i

	git init -q "$1"
	(
		cd "$1" || exit
		git config user.name e2e
		git config user.email e2e@localhost
		git config gc.auto 0
		git config pack.threads 1
		export GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
		export GIT_AUTHOR_DATE=$GIT_COMMITTER_DATE
		for ((i = 0; i < $2; i++)); do
			seq $((i * 100)) $((i * 100 + 20000)) >file$((i % 7))
			seq "$i" >"small$i"
			git add -A
			git commit -q -m "commit $i"
		done
	)
}

git_gc() {
	cp -a ../repository repository
	cd repository || return
	under git gc -q --aggressive --prune=now
	under git fsck --strict
	under git rev-list --objects --all | sort
	under git log --stat | sha256sum
	# the index holds times
	rm -f .git/index .git/gc.log .git/logs/HEAD
}

test_git_gc() { # 300 s
	slow
	needs git
	git_repository repository "$(less 5 120)"
	alike git_gc
	ls plain/repository/.git/objects/pack/*.pack >/dev/null ||
		fail "nothing was packed"
	[[ ! $E2E_LAB ]] || return 0 # too small a repository
	env LD_PRELOAD="$shim" git -C repository gc -q --aggressive &
	pid=$!
	started+=("$pid")
	stopped git 15000
	owned 100 # what git has is malloc's
	kill -CONT "$pid"
}

# perl ----------------------------------------------------------------------

perl_script() {
	cat >script.pl <<-'EOF'
		use strict;
		my %h = map { $_ => "value $_" } 1 .. 100000;
		my @big = map { 'x' x 300000 } 1 .. 60;
		my $text = join ' ', sort { $a <=> $b } keys %h;
		my $n = () = $text =~ /7/g;
		print "$n ", scalar(@big), "\n";
		print `echo child`;
		my $pid = fork;
		exit 3 if !$pid;
		waitpid $pid, 0;
		print $? >> 8, "\n";
		if (@ARGV) { $| = 1; print "ready\n"; sleep 1000; }
	EOF
	under perl script.pl
}

test_perl() {
	needs perl
	alike perl_script
	waits ready perl plain/script.pl wait
	# what perl has is malloc's
	owned 0
}

# redis ---------------------------------------------------------------------

free_port() {
	"$python" -IS -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

redis_start() {
	local debug=()

	port=$(free_port)
	# before 7 it is allowed, and the word unknown
	[[ $(redis-server --version) == *v=[0-6].* ]] ||
		debug=(--enable-debug-command yes)
	become redis-server --port "$port" --bind 127.0.0.1 --save '' \
		--dir . --logfile redis.log --io-threads 2 \
		--databases 2 ${debug[@]+"${debug[@]}"} &
	redis=$!
	soon redis-cli -p "$port" ping >/dev/null 2>&1
}

redis_saved() {
	redis-cli -p "$port" info persistence |
		grep -q 'rdb_bgsave_in_progress:0'
}

redis_load() {
	redis-cli -p "$port" debug populate "$1" key 100
	redis-benchmark -p "$port" -n "$2" -c 20 -r 1000 -q \
		-t set,get,lpush,zadd >/dev/null
	redis-cli -p "$port" flushall
	redis-cli -p "$port" debug populate "$1" key 100
	redis-cli -p "$port" bgsave
	soon redis_saved
	redis-cli -p "$port" info persistence |
		grep rdb_last_bgsave_status
	redis-cli -p "$port" dbsize
	redis-cli -p "$port" debug digest
}

redis_work() {
	local status=0 i

	redis_start || return 9
	redis_load "$(less 5000 200000)" "$(less 300 20000)"
	redis-cli -p "$port" shutdown nosave
	wait "$redis" || status=$?
	echo "status $status"
	rm -f redis.log dump.rdb
}

test_redis() { # 300 s
	slow
	needs redis-server redis-benchmark
	alike redis_work
	contains plain.out "status 0"
	contains plain.out "rdb_last_bgsave_status:ok"
}

test_redis_memory() { # 300 s
	local how=shimmed

	needs redis-server redis-benchmark
	redis_start || fail "redis-server does not start"
	started+=("$redis")
	redis_load "$(less 5000 200000)" 200 >/dev/null
	owned "$(less 1000 20000)" "$redis"
	redis-cli -p "$port" shutdown nosave || :
}

# postgres ------------------------------------------------------------------

postgres_bin() {
	local dir

	for dir in /usr/lib/postgresql/*/bin; do
		[[ ! -x $dir/pgbench ]] || bin=$dir
	done
	[[ ${bin:-} ]] || skip "no postgres with pgbench"
	needs_root
	needs runuser
	id -u postgres >/dev/null 2>&1 || skip "no user postgres"
}

# as_postgres COMMAND...: not from root, who may not run it.
as_postgres() { runuser -u postgres -- "$@"; }

postgres_make() {
	chmod 755 . ..
	mkdir -p cluster sockets
	chown postgres cluster sockets
	as_postgres "$bin/initdb" -D "$PWD/cluster" -A trust -N >initdb.log
	cat >>cluster/postgresql.conf <<-EOF
		listen_addresses = ''
		unix_socket_directories = '$PWD/sockets'
		shared_buffers = 64MB
		fsync = off
		max_connections = 30
		autovacuum = off
	EOF
}

postgres_start() {
	become runuser -u postgres -- "$bin/postgres" \
		-D "$PWD/cluster" >>"$PWD/log" 2>&1 &
	postgres=$!
	started+=("$postgres")
	soon as_postgres "$bin/pg_isready" -q -h "$PWD/sockets" ||
		{ cat log && return 1; }
}

postgres_stop() {
	as_postgres "$bin/pg_ctl" -D "$PWD/cluster" -m fast -w stop >/dev/null
	wait "$postgres" || return
}

sql() { as_postgres "$bin/psql" -h "$PWD/sockets" -At postgres -c "$1"; }

# runuser is not secure in the loader's sense: the preload goes through it.
postgres_bench() {
	local bench=(as_postgres "$bin/pgbench" -h "$PWD/sockets" postgres)

	"${bench[@]}" -q -i -s 3 2>/dev/null
	"${bench[@]}" -n -c 4 -j 2 -t 250 >bench.log 2>&1
	grep -E 'actually processed|failed' bench.log
	sql 'select count(*) from pgbench_history'
	sql 'select sum(abalance) = (select sum(tbalance) from
		pgbench_tellers) from pgbench_accounts'
	sql 'set max_parallel_workers_per_gather = 2;
		select count(*), sum(aid) from pgbench_accounts'
}

postgres_work() {
	local status=0

	postgres_make
	postgres_start
	postgres_bench
	postgres_stop || status=$?
	echo "status $status"
	rm -rf cluster sockets log bench.log initdb.log
}

test_postgres() { # 300 s
	slow
	not_in_lab
	postgres_bin
	chmod 755 ..
	alike postgres_work
	contains plain.out "status 0"
	contains plain.out "1000/1000"
}

# The postmaster, and a backend that has sorted something.
test_postgres_memory() { # 300 s
	local how=shimmed backend

	slow
	not_in_lab
	postgres_bin
	postgres_make
	postgres_start || fail "postgres does not start"
	as_postgres "$bin/psql" -h "$PWD/sockets" -At postgres >out <<-'EOF' &
		set work_mem = '64MB';
		create table big as select i, md5(i::text) m
			from generate_series(1, 200000) i;
		select pg_backend_pid();
		begin;
		declare c cursor for select * from big order by m;
		fetch 10 from c;
		select pg_sleep(60);
	EOF
	pid=$!
	started+=("$pid")
	soon grep -qE '^[0-9]+\|[0-9a-f]{32}$' out || fail "nothing was sorted"
	backend=$(grep -xE '[0-9]+' out)
	owned 10000 "$backend"
	pid=$(head -n 1 cluster/postmaster.pid)
	owned 1000
	kill "$backend"
	postgres_stop || :
}
