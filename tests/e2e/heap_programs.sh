# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154,SC2016 # see lib.sh
# The heap of real programs: whose its pages are, and that wrappers of malloc
# are looked through. tests/e2e/packages lists what the programs are in.

# shellcheck source=/dev/null
. "$E2E_DIR/programs.sh"

# KiB of $pid's pages that small owners share.
shared_kib() {
	"$anonshim" explain "$pid" 'small owners: heap' |
		sed -n 's/^  memory  *resident \([0-9.]*[KMG]\),.*/\1/p' |
		numfmt --from=iec --to-unit=1024
}

# one_owner KIB: of what is resident of $pid's heap, KIB at least, 95 % are
# pages of a single owner, who has a name. What libc's malloc, other allocators
# or nobody has counts against it.
one_owner() {
	local shared

	report --by site
	shared=$(shared_kib) || fail "no arena of small owners"
	holds "heap() >= $1"
	holds "(heap('live') - $shared) * 100 >= heap() * 95"
	holds "not rows(kind='heap', site=wrappers)"
	echo "$pid: $shared KiB shared"
}

# asks PROGRAM SITE...: these functions are sites of its heap, and wrappers not.
asks() {
	local site

	report --by site
	for site in "${@:2}"; do
		holds "rows(owner=re('$1'), kind='heap', site=re('$site'))"
	done
	holds "not rows(kind='heap', site=wrappers)"
}

# Pages of one owner --------------------------------------------------------

python_kept() {
	cat >kept.py <<-'EOF'
		import json, ssl, sys, threading, zlib
		kept = [bytes([i % 256]) * 300000 for i in range(100)]
		kept.append({i: str(i) for i in range(200000)})
		kept.append(json.loads(json.dumps(list(range(100000)))))
		kept.append(ssl.create_default_context())
		print("ready", flush=True)
		threading.Event().wait()
	EOF
	export PYTHONMALLOC=malloc
}

# libc frees what it has for a thread when all else of it has ended.
test_short_threads_of_python() {
	cat >threads.py <<-'EOF'
		import threading, time
		def run(n):
		    kept = [threading.Lock() for _ in range(50)]
		    time.sleep(0.001 * (n % 3))
		for _ in range(300):
		    ts = [threading.Thread(target=run, args=(i,))
		          for i in range(8)]
		    [t.start() for t in ts]
		    [t.join() for t in ts]
	EOF
	with '' "$python" threads.py || fail "exit status $?"
}

test_heap_of_python() {
	python_kept
	waits ready "$python" kept.py
	one_owner 40000
}

# The check would not pass anything.
test_heap_of_libc_is_nobodys() {
	python_kept
	export ANONSHIM_OPTIONS=heap=off
	waits ready "$python" kept.py
	report --by site
	holds "heap() >= 40000"
	holds "heap('live') * 100 < heap() * 95"
}

test_heap_of_gcc() { # 120 s
	slow
	not_in_lab
	needs gcc
	large_source 3000 >large.c
	env LD_PRELOAD="$shim" gcc -O2 -c large.c -o large.o &
	pid=$!
	started+=("$pid")
	stopped cc1 80000
	started+=("$pid")
	one_owner 4000
	kill -CONT "$pid"
}

test_heap_of_sqlite() { # 180 s
	slow
	needs sqlite3
	mkfifo commands
	env LD_PRELOAD="$shim" sqlite3 db <commands >out 2>&1 &
	pid=$!
	started+=("$pid")
	exec 7>commands
	sqlite_make >&7
	echo "select 'ready';" >&7
	await out ready
	one_owner "$(less 1000 40000)"
	exec 7>&-
}

test_heap_of_redis() { # 180 s
	local how=shimmed

	needs redis-server redis-benchmark
	redis_start || fail "redis-server does not start"
	started+=("$redis")
	pid=$redis
	redis_load "$(less 5000 200000)" 200 >/dev/null
	one_owner "$(less 4000 20000)"
	redis-cli -p "$port" shutdown nosave || :
}

test_heap_of_node() { # 120 s
	slow
	not_in_lab
	needs node
	cat >kept.js <<-'EOF'
		const kept = [];
		for (let i = 0; i < 3e5; i++) kept.push({ i, s: 'x' + i });
		kept.push(Buffer.alloc(32 << 20, 7));
		console.log('ready');
		setInterval(() => kept.length, 1e6);
	EOF
	waits ready node kept.js
	one_owner 30000
}

test_heap_of_perl() {
	needs perl
	waits ready perl -e '$| = 1; my %h = map { $_ => "value $_" }
		1 .. 100000; print "ready\n"; sleep 1000'
	one_owner 10000
}

# PHP loads extensions so that their free is libc's: not here.
test_heap_of_php() {
	needs php
	export USE_ZEND_ALLOC=0
	waits ready php -n -r '$a = []; for ($i = 0; $i < 300000; $i++)
		$a[] = "x" . $i; echo "ready\n"; sleep(1000);'
	one_owner 10000
}

# Sites behind wrappers -----------------------------------------------------

test_sites_of_python() {
	python_kept
	export ANONSHIM_OPTIONS=heap=site
	waits ready "$python" kept.py
	asks python '^Py'
}

# Its extensions are loaded with RTLD_DEEPBIND.
test_php_with_its_extensions() {
	needs php
	unchanged php -r 'echo json_encode(get_loaded_extensions());'
}

test_sites_of_php() {
	needs php
	export USE_ZEND_ALLOC=0 ANONSHIM_OPTIONS=heap=site
	waits ready php -n -r '$a = []; for ($i = 0; $i < 300000; $i++)
		$a[] = "x" . $i; echo "ready\n"; sleep(1000);'
	asks php '^concat_function$'
}

test_sites_of_redis() { # 180 s
	local how=shimmed

	export ANONSHIM_OPTIONS=heap=site
	needs redis-server redis-benchmark
	redis_start || fail "redis-server does not start"
	started+=("$redis")
	pid=$redis
	redis_load "$(less 5000 200000)" 200 >/dev/null
	asks redis 'sdsnewlen$' '^dict'
	redis-cli -p "$port" shutdown nosave || :
}

# Between the segments of some builds of node are holes.
test_sites_of_node() { # 120 s
	slow
	not_in_lab
	needs node
	export ANONSHIM_OPTIONS=heap=site
	waits ready node -e 'const kept = []; for (let i = 0; i < 20000; i++)
		kept.push(Buffer.from("y".repeat(500 + i % 300)));
		console.log("ready"); setInterval(() => kept.length, 1e6)'
	asks node '^node::'
}

# linked_with LIBRARY NAME: "-l:" for the compiler, or skips the test.
linked_with() {
	local file=/usr/lib/x86_64-linux-gnu/$1

	[[ -e $file ]] || skip "no $1"
	printf '%s\n' "$file"
}

# Callers of each library's malloc, 4 MiB each; the libraries hold next to
# nothing of it.
test_callers_of_libraries() {
	local with=() name

	needs gcc
	for name in libglib-2.0.so.0 libcrypto.so.3 libsqlite3.so.0 \
		libstdc++.so.6; do
		with+=("$(linked_with "$name")") || exit
	done
	cat >asks.c <<-'EOF'
		#include <stdio.h>
		#include <string.h>
		#include <unistd.h>
		void *g_malloc0(size_t), *g_strdup(const char *);
		void *g_array_new(int, int, unsigned);
		void *g_array_append_vals(void *, void *, unsigned);
		void *CRYPTO_zalloc(size_t, const char *, int);
		void *CRYPTO_strdup(const char *, const char *, int);
		void *sqlite3_malloc64(unsigned long);
		char *sqlite3_mprintf(const char *, ...);
		int sqlite3_initialize(void);
		static char text[1000];
		#define BLOCKS 4096
		#define ASKS(name, what) \
		__attribute__((noinline)) static void by_##name(void) \
		{ \
			for (int i = 0; i < BLOCKS; i++) \
				memset(what, 1, 900); \
			__asm__ volatile(""); \
		}
		ASKS(g_malloc, g_malloc0(1000))
		ASKS(g_strdup, g_strdup(text))
		ASKS(crypto, CRYPTO_zalloc(1000, "", 0))
		ASKS(crypto_strdup, CRYPTO_strdup(text, "", 0))
		ASKS(sqlite, sqlite3_malloc64(1000))
		ASKS(mprintf, sqlite3_mprintf("%s", text))
		ASKS(libc, strdup(text))
		__attribute__((noinline)) static void by_array(void)
		{
			void *array = g_array_new(0, 0, sizeof(text));

			for (int i = 0; i < BLOCKS; i++)
				g_array_append_vals(array, text, 1);
			__asm__ volatile("");
		}
		int main(void)
		{
			memset(text, 'x', sizeof(text) - 1);
			sqlite3_initialize();
			by_g_malloc();
			by_g_strdup();
			by_crypto();
			by_crypto_strdup();
			by_sqlite();
			by_mprintf();
			by_libc();
			by_array();
			puts("ready");
			fflush(stdout);
			sleep(1000);
			return 0;
		}
	EOF
	gcc -w -O1 -o asks asks.c "${with[@]}" || fail "gcc failed"
	export ANONSHIM_OPTIONS=heap=site
	waits ready ./asks
	report --by owner
	holds "rss(owner='asks') >= 8 * 4000"
	for name in glib crypto sqlite3 c; do
		holds "rss(owner=re('^lib${name}[.-]')) < 6000"
	done
	asks asks '^by_g_malloc$' '^by_g_strdup$' '^by_crypto$' \
		'^by_crypto_strdup$' '^by_sqlite$' '^by_mprintf$' '^by_libc$'
}

# A function far from the others: between the segments of the program are
# holes, and to the loader each is a thing of its own.
test_program_with_holes() {
	needs gcc
	cat >holes.c <<-'EOF'
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <unistd.h>
		#define FAR __attribute__((noinline, section(".far")))
		FAR void *xmalloc(size_t size)
		{
			void *p = malloc(size);

			if (!p)
				abort();
			return memset(p, 1, size);
		}
		FAR void asker(void)
		{
			for (int i = 0; i < 40000; i++)
				xmalloc(100);
			__asm__ volatile("");
		}
		int main(void)
		{
			asker();
			puts("ready");
			fflush(stdout);
			sleep(1000);
			return 0;
		}
	EOF
	gcc -O1 -no-pie -Wl,--section-start=.far=0x20000000 -o holes holes.c ||
		fail "gcc failed"
	export ANONSHIM_OPTIONS=heap=site
	waits ready ./holes
	asks holes '^asker$'
	holds "not rows(site='xmalloc')"
}

# Its library's malloc is the only one that it can do with; clang's is in the
# program itself, and is not ready when the shim starts.
test_thread_sanitizer() {
	needs gcc
	cat >threads.c <<-'EOF'
		#include <pthread.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		static void *run(void *arg)
		{
			for (size_t size = 1; size < 100 << 20; size *= 3)
				free(memset(malloc(size), 1, size));
			return arg;
		}
		int main(void)
		{
			pthread_t thread[4];
			for (int i = 0; i < 4; i++)
				pthread_create(&thread[i], NULL, run, NULL);
			for (int i = 0; i < 4; i++)
				pthread_join(thread[i], NULL);
			return puts("fine") < 0;
		}
	EOF
	for compiler in gcc clang; do
		"$compiler" -O1 -fsanitize=thread -o threads threads.c 2>err ||
			continue
		[[ $(./threads 2>&1) == fine ]] || continue
		equal "$(with '' ./threads 2>&1)" fine "$compiler's"
		equal "$(with heap=owner ./threads 2>&1 | tail -n 1)" fine \
			"$compiler's, where the heap is the shim's"
		tried=1
	done
	[[ ${tried-} ]] || skip "no thread sanitizer here"
}
