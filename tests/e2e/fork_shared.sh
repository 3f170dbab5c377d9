# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2030,SC2031,SC2034,SC2154 # see lib.sh
# Programs whose processes share memory and mean to: under the shim they do
# what they do without. Where shared memory that were a child's own would show,
# fork=all proves that the test sees it. tests/e2e/packages lists what they are
# in.

# shellcheck source=/dev/null
. "$E2E_DIR/programs.sh"

# kept FUNCTION...: `alike`, and not so once children share nothing.
kept() {
	alike "$@"
	(
		how=shimmed why_file=/dev/null
		export ANONSHIM_OPTIONS=fork=all
		mkdir private
		cd private
		"$@"
	) >private.out 2>&1 </dev/null || :
	! cmp -s private.out plain.out ||
		fail "the same with nothing shared: the test sees nothing"
}

# serving COMMAND...: in place of this shell's child, until the shell ends or
# `served SIGNAL` ends it; sets $server.
serving() {
	become "$@" &
	server=$!
	# shellcheck disable=SC2046 # numbers
	trap 'kill -KILL $(descendants "$server") 2>/dev/null' EXIT
}

served() {
	local status=0

	kill "-$1" "$server"
	wait "$server" || status=$?
	trap - EXIT
	echo "status $status"
}

# answers URL: until it does.
answers() {
	soon answers_or_is_gone "$1"
	kill -0 "$server"
}

answers_or_is_gone() {
	kill -0 "$server" 2>/dev/null || return 0
	"$python" -IS -c 'import sys, urllib.request as u
u.urlopen(sys.argv[1], timeout=2)' "$1" 2>/dev/null
}

# Servers ---------------------------------------------------------------------

# One bucket for all the workers: ten requests pass, of however many.
nginx_work() {
	local port

	port=$(free_port)
	echo hello >file
	chmod 755 .
	cat >nginx.conf <<-EOF
		daemon off;
		worker_processes 4;
		pid $PWD/pid;
		events { worker_connections 64; }
		http {
			access_log off;
			client_body_temp_path $PWD/1;
			proxy_temp_path $PWD/2;
			fastcgi_temp_path $PWD/3;
			uwsgi_temp_path $PWD/4;
			scgi_temp_path $PWD/5;
			limit_req_zone \$server_addr zone=one:1m rate=1r/m;
			server {
				listen 127.0.0.1:$port reuseport;
				root $PWD;
				location = /none { return 204; }
				location / {
					limit_req zone=one burst=9 nodelay;
				}
			}
		}
	EOF
	serving nginx -p "$PWD" -c nginx.conf -e "$PWD/log"
	answers "http://127.0.0.1:$port/none" || { cat log && return 1; }
	ab -q -s 20 -n 400 -c 8 "http://127.0.0.1:$port/file" |
		grep -E '^(Complete|Non-2xx)'
	served QUIT
	rm -rf ./*
}

test_nginx() { # 120 s
	PATH=$PATH:/usr/sbin
	needs nginx ab
	chmod 755 . ..
	kept nginx_work
	contains plain.out "status 0"
	[[ $(cat plain.out) =~ Non-2xx.*390 ]] || fail "not ten passed"
}

# The scoreboard: children count what they served, any of them can tell, also
# of those that have ended. Its end is one of its process group.
apache_work() {
	local port modules=/usr/lib/apache2/modules

	port=$(free_port)
	echo hello >file
	chmod 755 .
	cat >apache.conf <<-EOF
		ServerRoot $PWD
		ServerName localhost
		Listen 127.0.0.1:$port
		PidFile $PWD/pid
		ErrorLog $PWD/log
		LoadModule mpm_prefork_module $modules/mod_mpm_prefork.so
		LoadModule status_module $modules/mod_status.so
		LoadModule authz_core_module $modules/mod_authz_core.so
		User nobody
		Group nogroup
		StartServers 4
		MaxRequestWorkers 8
		MaxConnectionsPerChild 40
		ExtendedStatus On
		DefaultRuntimeDir $PWD
		DocumentRoot $PWD
		<Location /status>
		SetHandler server-status
		</Location>
	EOF
	serving setsid apache2 -f "$PWD/apache.conf" -D FOREGROUND
	soon test -s pid
	ab -q -s 20 -n 500 -c 8 "http://127.0.0.1:$port/file" |
		grep -E '^(Complete|Failed|Non-2xx)'
	"$python" -IS -c 'import sys, urllib.request as u
print(u.urlopen(sys.argv[1], timeout=20).read().decode())' \
		"http://127.0.0.1:$port/status?auto" | grep '^Total Accesses'
	served TERM
	rm -rf ./*
}

test_apache() { # 120 s
	PATH=$PATH:/usr/sbin
	needs apache2 ab
	[[ -e /usr/lib/apache2/modules/mod_mpm_prefork.so ]] ||
		skip "no mpm_prefork"
	chmod 755 . ..
	kept apache_work
	contains plain.out "Total Accesses: 500"
	contains plain.out "status 0"
}

# Children of every kind at once: background saves of both kinds while a
# client writes; what they saved is what there was.
redis_saves() {
	local digest

	serving redis-server --port 0 --unixsocket "$PWD/socket" --save '' \
		--dir "$PWD" --logfile "$PWD/log" "${debug[@]}"
	redis_ready
	ask debug populate "$rows" key 300
	digest=$(ask debug digest)
	ask bgsave
	redis-benchmark -s socket -n 3000 -c 8 -q -t incr,lpush,zadd \
		>/dev/null
	saved rdb_bgsave_in_progress rdb_last_bgsave_status
	ask config set appendonly yes
	redis-benchmark -s socket -n 3000 -c 8 -q -t incr,lpush,zadd \
		>/dev/null
	saved aof_rewrite_in_progress aof_last_bgrewrite_status
	ask bgrewriteaof
	ask del key:0 >/dev/null
	redis-benchmark -s socket -n 3000 -c 8 -q -t incr,lpush,zadd \
		>/dev/null
	saved aof_rewrite_in_progress aof_last_bgrewrite_status
	ask debug digest >before
	ask shutdown nosave
	wait "$server"
	rm -f before.rdb
	mv dump.rdb before.rdb
	reloaded --appendonly yes
	same before after "what the append-only file holds"
	echo "$digest" >before
	reloaded --dbfilename before.rdb
	same before after "what the snapshot holds"
	cat after
	rm -rf ./*
}

ask() { redis-cli -s socket "$@"; }

redis_ready() {
	soon is_ready || { cat log && return 1; }
}

is_ready() { [[ $(ask ping 2>&1) == PONG ]]; }
is_idle() { ! ask info persistence | grep -q "^$1:1"; }

# saved BUSY STATUS: when INFO says no longer BUSY.
saved() {
	soon is_idle "$1"
	ask info persistence | grep "^$2"
}

# reloaded OPTION...: a server of the saved files; its digest is in ./after.
reloaded() {
	serving redis-server --port 0 --unixsocket "$PWD/socket" --save '' \
		--dir "$PWD" --logfile "$PWD/log" "${debug[@]}" "$@"
	redis_ready
	ask debug digest >after
	ask shutdown nosave
	wait "$server"
	trap - EXIT
}

test_redis_saves() { # 300 s
	local debug=(--enable-debug-command yes) rows=5000

	needs redis-server redis-benchmark
	[[ $(redis-server --version) != *v=[0-6].* ]] || skip "before redis 7"
	[[ $E2E_FAST ]] || rows=$(less 5000 300000)
	alike redis_saves
	contains plain.out rdb_last_bgsave_status:ok
	contains plain.out aof_last_bgrewrite_status:ok
}

# Eight clients for a while, with parallel queries: nothing is lost. Buffers
# are anonymous memory or a SysV segment, what workers share has a name.
test_postgres_shared() { # 300 s
	slow
	not_in_lab
	postgres_bin
	chmod 755 ..
	alike postgres_shared
	contains plain.out "status 0"
	contains plain.out "4000/4000"
	rm -rf plain shimmed
	alike postgres_shared shared_memory_type=sysv \
		dynamic_shared_memory_type=mmap
	contains plain.out "4000/4000"
}

# postgres_shared SETTING...
postgres_shared() {
	local bench=(as_postgres "$bin/pgbench" -h "$PWD/sockets" postgres)
	local status=0

	postgres_make
	printf '%s\n' 'autovacuum = on' "$@" >>cluster/postgresql.conf
	postgres_start
	"${bench[@]}" -q -i -s 4 --foreign-keys 2>/dev/null
	"${bench[@]}" -n -c 8 -j 2 -t 500 -M prepared >bench.log 2>&1
	grep -E 'actually processed|failed' bench.log
	"${bench[@]}" -n -C -c 4 -t 100 -S >bench.log 2>&1 # fork each time
	grep -E 'actually processed|failed' bench.log
	sql 'select count(*) from pgbench_history'
	sql 'select (select sum(abalance) from pgbench_accounts) =
		(select sum(delta) from pgbench_history),
		(select sum(bbalance) from pgbench_branches) =
		(select sum(tbalance) from pgbench_tellers)'
	sql 'set max_parallel_workers_per_gather = 4;
		set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
		select count(*), sum(aid), count(distinct bid)
		from pgbench_accounts'
	postgres_stop || status=$?
	echo "status $status"
	rm -rf cluster sockets log bench.log initdb.log
}

# Languages -------------------------------------------------------------------

python_needs_tests() {
	"$python" -c 'import test.test_multiprocessing_fork' 2>/dev/null ||
		skip "no libpython3-testsuite"
}

# Times and loads are not part of what the tests say.
# Now and then it waits for ever without the shim, which then tells nothing.
python_multiprocessing() {
	local status tries=1

	[[ $how == shimmed ]] || tries=3
	while ((tries--)); do
		status=0
		under timeout -k 10 400 "$python" -m test \
			test_multiprocessing_fork "$@" >log 2>&1 || status=$?
		((status == 124 || status == 137)) || break
	done
	grep -E '^(Tests result|test_.* (failed|skipped))' log || :
	grep -E '^(ERROR|FAIL): ' log | sort || :
	tail -n 15 log >&2
	rm -rf log build
	return "$status"
}

test_multiprocessing() { # 200 s
	local parts=() part

	not_in_lab
	python_needs_tests
	for part in Array Barrier Condition Event Heap Lock Process Queue \
		Semaphore SharedCTypes SharedMemory Value; do
		parts+=(-m "WithProcessesTest$part")
	done
	alike_at_once python_multiprocessing "${parts[@]}"
	contains plain.out SUCCESS
}

test_multiprocessing_all() { # 1200 s
	heavy
	python_needs_tests
	alike_at_once python_multiprocessing
	contains plain.out SUCCESS
}

# A lock, values and an arena, that all processes change.
python_counting() {
	cat >counting.py <<-'EOF'
		import multiprocessing as m, multiprocessing.shared_memory as s
		import mmap
		context = m.get_context("fork")
		value = context.Value("l", 0)
		array = context.Array("i", 64)
		named = s.SharedMemory(create=True, size=4096)
		again = s.SharedMemory(name=named.name)
		plain = mmap.mmap(-1, 4096)
		def work(n):
		    for i in range(500):
		        with value.get_lock():
		            value.value += 1
		        with array.get_lock():
		            array[i % 64] += n
		    named.buf[n] = again.buf[64 + n] = plain[n] = n + 1
		some = [context.Process(target=work, args=(n,))
		        for n in range(8)]
		[p.start() for p in some]
		[p.join() for p in some]
		print(value.value, sum(array), list(named.buf[:8]),
		      list(named.buf[64:72]), list(plain[:8]),
		      [p.exitcode for p in some], flush=True)
		again.close()
		named.close()
		named.unlink()
	EOF
	under timeout 60 "$python" counting.py
}

test_python_counting() { # 200 s
	kept python_counting
	contains plain.out "4000 14000 [1, 2, 3, 4, 5, 6, 7, 8]"
}

# D's collector marks in a child, which tells its parent in shared memory.
collected() {
	cp ../collects .
	under timeout 5 ./collects --DRT-gcopt=fork:1
	rm collects
}

test_d_collector() { # 200 s
	needs gdc
	cat >collects.d <<-'EOF'
		import core.memory, std.stdio;

		class Node {
			ubyte[] pad;
			this(long n) {
				pad = new ubyte[200];
				pad[] = cast(ubyte) n;
			}
		}

		void main() {
			Node[] kept;
			long n;
			foreach (round; 0 .. 60) {
				foreach (i; 0 .. 4000) {
					auto node = new Node(n++);
					if (i % 20 == 0)
						kept ~= node;
				}
				if (round % 10 == 0)
					GC.collect();
			}
			foreach (i, node; kept)
				foreach (b; node.pad)
					if (b != cast(ubyte) (i * 20)) {
						writeln("lost ", i);
						return;
					}
			writeln(kept.length, " kept");
		}
	EOF
	gdc -O1 -o collects collects.d || fail "gdc failed"
	kept collected
	contains plain.out "12000 kept"
}

# PHP's cache of code is one for all children.
php_cached() {
	cat >cached.php <<-'EOF'
		<?php
		for ($i = 0; $i < 8; $i++) {
			file_put_contents("inc$i.php",
				"<?php function f$i() { return $i; }");
			touch("inc$i.php", 1000000000);
			$pid = pcntl_fork();
			if (!$pid) {
				require "inc$i.php";
				exit(("f$i")());
			}
			pcntl_waitpid($pid, $status);
			$said[] = pcntl_wexitstatus($status);
			$cached[] = opcache_is_script_cached(getcwd() .
				"/inc$i.php") ? 1 : 0;
		}
		echo implode(" ", $said), "\n", implode(" ", $cached), "\n";
	EOF
	under php -d opcache.enable_cli=1 -d opcache.jit_buffer_size=8M \
		-d opcache.jit=1255 -d opcache.file_update_protection=0 \
		cached.php
	rm -f inc*.php
}

test_php_cache() { # 120 s
	needs php
	[[ $(php -m) == *OPcache* && $(php -m) == *pcntl* ]] ||
		skip "no opcache or pcntl in php"
	kept php_cached
	contains plain.out "1 1 1 1 1 1 1 1"
}

# stress-ng -------------------------------------------------------------------

# stressed NAME OPS: its own checks hold.
stressed() {
	local log=log.$1 status=0 ops=$2

	[[ ! $E2E_FAST ]] || ops=$((ops / 4 + 1))
	stress-ng --stressors | grep -qwF -e "$1" || return 0
	under timeout -k 5 100 stress-ng --temp-path "$PWD" --verify \
		--timeout 60 --"$1" 2 --"$1"-ops "$ops" >"$log" 2>&1 ||
		status=$?
	echo "$1: status $status"
	grep -oE '(FAIL|fail|unsuccessful).*' "$log" || :
	tail -n 4 "$log" >&2
	rm -rf "$log" tmp-*
}

stress_memory() {
	stressed fork 2000
	stressed mremap 20
	stressed memfd 20
	stressed shm 60
	stressed vm-addr 20
}

stress_more() {
	stressed clone 500
	stressed daemon 200
	stressed mmapmany 500
	stressed remap 40
	stressed shm-sysv 60
	stressed vfork 1000
	stressed vm-splice 2000
	stressed madvise 60
	stressed mmapaddr 500
	stressed mmapfixed 100
	stressed vma 2000
	stressed mlock 500
}

test_stress() { # 600 s
	not_in_lab
	needs stress-ng
	alike stress_memory
	contains plain.out "shm: status 0"
	lacks plain.out fail
}

# It takes what memory there is: once is enough.
test_stress_with_all_memory() { # 300 s
	local how=shimmed

	heavy
	needs stress-ng
	stressed mmapfork 1 >out
	contains out "mmapfork: status 0"
	lacks out fail
}

test_stress_more() { # 300 s
	heavy
	needs stress-ng
	alike stress_more
	contains plain.out "remap: status 0"
	lacks plain.out fail
}
