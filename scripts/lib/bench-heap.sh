# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # used by, and set by, who sources it
#
# The heap's part of scripts/bench: the shim's malloc beside other allocators.
# In each round every allocator has its turn at every row; a ratio is the
# median of the rounds' own. Source it after setup.sh; it runs nothing by
# itself.
#
# A row's runs are in $tmp/runs/ALLOCATOR, a line a round; what failed is "-".

heap_parts=(heap-micro heap-programs heap-fork heap-freed)
declare -A heap_library=()
heap_allocators=() heap_missing=()

# library_called SONAME: its path, or nothing.
library_called() {
	PATH=$PATH:/sbin:/usr/sbin ldconfig -p |
		awk -v name="$1" '$1 == name && !found++ { print $NF }'
}

# find_allocator NAME PACKAGE SONAME...
find_allocator() {
	local file='' soname

	for soname in "${@:3}"; do
		[[ -n $file ]] || file=$(library_called "$soname")
	done
	if [[ -z $file ]]; then
		(need_packages "$2") || :
		apt_is_fresh=1
		file=$(library_called "$3")
	fi
	if [[ -z $file ]]; then
		heap_missing+=("$1")
		return
	fi
	heap_library[$1]=$file
	heap_allocators+=("$1")
}

find_allocators() {
	((!${#heap_allocators[@]})) || return 0
	heap_library=([anonshim]=$shim [glibc]='')
	heap_allocators=(anonshim glibc)
	find_allocator jemalloc libjemalloc2 libjemalloc.so.2
	find_allocator mimalloc libmimalloc2.0 libmimalloc.so.2
	find_allocator tcmalloc libtcmalloc-minimal4 libtcmalloc_minimal.so.4 \
		libtcmalloc.so.4
	((!${#heap_missing[@]})) ||
		echo "bench: not installed, left out: ${heap_missing[*]}" >&2
}

# Runs ------------------------------------------------------------------------

# record NAME LINE
record() {
	printf '%s\n' "${2:--}" >>"$tmp/runs/$1"
	[[ -n $2 ]] || printf 'bench: with %s failed: %s\n' "$1" \
		"$heap_command" >&2
}

# take_turns FUNCTION ARG...: FUNCTION LIBRARY ARG... prints a line of numbers.
# Who comes first differs from round to round.
take_turns() {
	local i j name line n=${#heap_allocators[@]}

	heap_command="$*"
	rm -rf "$tmp/runs"
	mkdir "$tmp/runs"
	for ((i = 0; i < heap_rounds; i++)); do
		for ((j = 0; j < n; j++)); do
			name=${heap_allocators[(i + j) % n]}
			line=$("$1" "${heap_library[$name]}" "${@:2}") ||
				line=''
			record "$name" "$line"
		done
	done
}

# preloaded LIBRARY COMMAND...
preloaded() {
	LD_PRELOAD=$1 "${@:2}"
}

# measured LIBRARY COMMAND...: its time, processor time and memory.
measured() {
	"$programs/measure" ${1:+-p "$1"} "${@:2}" </dev/null
}

# Rows ------------------------------------------------------------------------

# numbers NAME COLUMN DIVISOR: those of an allocator, one a round.
numbers() {
	[[ ! -e $tmp/runs/$1 ]] ||
		awk -v c="$2" -v by="$3" '{ print $c == "" || $c == "-" ? "-" \
			: $c / by }' "$tmp/runs/$1"
}

# median NAME COLUMN DIVISOR
median() {
	numbers "$@" | sed '/^-$/d' | quartiles | awk '{ x = $1
		if (NF)
			printf x < 100 ? "%.2f" : x < 1000 ? "%.1f" : "%.0f", x
	}'
}

# ratio_to NAME COLUMN: MEDIAN LOW HIGH, of the rounds' own; or nothing.
ratio_to() {
	[[ ! -e $tmp/runs/$1 ]] ||
		paste -d ' ' <(numbers anonshim "$2" 1) <(numbers "$1" "$2" 1) |
		awk '$1 != "-" && $2 != "-" && $2 > 0 {
			printf "%.3f\n", $1 / $2 }' | quartiles
}

# judged LIMIT MEDIAN LOW: met or MISSED, of the ratio to two digits. LIMIT is
# "<= X", or "~ X": more than noise over X is when even the lower quartile is
# more than a percent above. A run of the shim that failed misses any.
judged() {
	if [[ -n $1 ]] && grep -qx -e - "$tmp/runs/anonshim"; then
		echo MISSED
		return
	fi
	[[ -z $1 || -z $2 ]] || awk -v limit="$1" -v x="$2" -v low="$3" 'BEGIN {
		split(limit, part, " ")
		ok = part[1] == "~" ? low <= part[2] * 1.01 \
			: sprintf("%.2f", x) + 0 <= part[2]
		print ok ? "met" : "MISSED" }'
}

# print_ratio NAME LIMIT MEDIAN LOW HIGH
print_ratio() {
	local met

	met=$(judged "$2" "${3:-}" "${4:-}")
	if [[ -z $json ]]; then
		printf ' %6s %-11s %-14s' "${3:+$(printf %.2f "$3")}" \
			"${3:+$(printf '%.2f-%.2f' "$4" "$5")}" \
			"${2:+$2 $met}"
		return
	fi
	printf ', "of_%s": {"figure": %s, "low": %s, "high": %s, ' "$1" \
		"${3:-null}" "${4:-null}" "${5:-null}"
	printf '"target": "%s", "met": "%s"}' "$2" "${met:--}"
}

# heap_row WHAT UNIT COLUMN DIVISOR OF-GLIBC OF-JEMALLOC: one row of the table,
# from the COLUMN of the runs; the last two are limits.
heap_row() {
	local name figure between=''

	[[ -z $json ]] || printf '%s{"what": "%s", "unit": "%s", "figures": {' \
		"$separator" "$1" "$2"
	[[ -n $json ]] || printf '%-26s %-4s' "$1" "$2"
	for name in anonshim glibc jemalloc mimalloc tcmalloc; do
		figure=$(median "$name" "$3" "$4")
		[[ -z $json ]] || printf '%s"%s": %s' "$between" "$name" \
			"${figure:-null}"
		[[ -n $json ]] || printf ' %8s' "${figure:--}"
		between=', '
	done
	[[ -z $json ]] || printf '}'
	# shellcheck disable=SC2046 # three words
	print_ratio glibc "$5" $(ratio_to glibc "$3")
	# shellcheck disable=SC2046 # three words
	print_ratio jemalloc "$6" $(ratio_to jemalloc "$3")
	[[ -z $json ]] || printf '}'
	[[ -n $json ]] || printf '\n'
	separator=$',\n    '
}

heap_heading() {
	[[ -n $json ]] || printf '%-31s %8s %8s %8s %8s %8s %-33s %s\n' "$1" \
		anonshim glibc jemalloc mimalloc tcmalloc " of glibc" \
		" of jemalloc"
}

# The parts -------------------------------------------------------------------

# micro WHAT ROW UNIT DIVISOR OF-GLIBC OF-JEMALLOC
micro() {
	take_turns preloaded "$programs/heap" "$2"
	heap_row "$1" "$3" 1 "$4" "$5" "$6"
}

bench_heap_micro() {
	find_allocators
	heap_heading "malloc and its family"
	micro "pair" pair ns 1 "<= 1.0" "<= 1.1"
	micro "pair, 2 threads" pair-threads ns 1 "<= 1.0" "<= 1.2"
	micro "the same 64 bytes" same ns 1 "<= 1.0" ""
	micro "calloc, small" calloc ns 1 "<= 1.0" ""
	micro "producer, consumer" ring ns 1 "<= 1.0" ""
	micro "realloc growth, alone" realloc us 1000 "<= 1.0" ""
	micro "realloc growth, by turns" realloc-turns us 1000 "<= 1.0" ""
	micro "large blocks" large ns 1 "<= 1.0" ""
	micro "short threads" threads us 1000 "<= 1.0" ""
	micro "growth to 2,000,000" growth ns 1 "<= 1.0" ""
}

# c_source: something for a compiler to chew on.
c_source() {
	awk 'BEGIN { for (i = 0; i < 160; i++) {
	printf "struct s%d { int a, b[%d]; struct s%d *next; };\n", i, i + 2, i
	printf "static int f%d(struct s%d *s, int n)\n{\n", i, i
	printf "\tint t = n;\n\tfor (; s; s = s->next)\n"
	printf "\t\tswitch (s->a & 7) {\n"
	for (j = 0; j < 7; j++)
		printf "\t\tcase %d: t += s->b[%d] * %d + (t >> %d);" \
			" break;\n", j, j % (i + 2), i * j + 3, j + 1
	printf "\t\tdefault: for (int k = 0; k < %d; k++)\n", i + 2
	printf "\t\t\tt ^= s->b[k] + n * k;\n\t\t}\n\treturn t;\n}\n"
	printf "int g%d(struct s%d *s, int n)\n{\n\treturn f%d(s, n) +" \
		" f%d(s->next, n + 1);\n}\n", i, i, i, i } }'
}

# program NAME COMMAND...: three rows.
program() {
	"${2}" "" "${@:3}" >/dev/null || :
	take_turns "${@:2}"
	program_rows "$1"
}

# program_rows NAME: a small process may take a little more memory.
program_rows() {
	local limit="<= 1.10" resident

	resident=$(median jemalloc 3 1024)
	if awk "BEGIN { exit !(${resident:-0} < 50) }"; then
		limit="<= 1.15"
	fi
	heap_row "$1, elapsed" ms 1 1 "~ 1.0" "<= 1.03"
	heap_row "$1, processor" ms 2 1 "" ""
	heap_row "$1, resident" MiB 3 1024 "" "$limit"
}

# redis LIBRARY: the time of the benchmark's, and what the server took. Debian's
# server is linked with jemalloc, so that glibc has to be preloaded like others.
# A shell of its own, whose end is the end of the server.
redis() (
	library=${1:-libc.so.6} socket=$tmp/redis.sock elapsed=''
	redis_server=''

	trap '[[ -z $redis_server ]] || kill "$redis_server" 2>/dev/null' EXIT
	# not by a function: the process is to be measure's own
	"$programs/measure" -p "$library" redis-server --port 0 --save '' \
		--unixsocket "$socket" --appendonly no --dir "$tmp" \
		</dev/null >"$tmp/redis.measured" &
	redis_server=$!
	for ((i = 0; i < 100; i++)); do
		kill -0 "$redis_server" 2>/dev/null || exit
		redis-cli -s "$socket" ping >"$tmp/redis.ping" 2>&1 && break
		sleep 0.05
	done
	read -r elapsed _ < <("$programs/measure" timeout 60 redis-benchmark \
		-s "$socket" -c 20 -P 16 -n 60000 -r 20000 -d 200 \
		-t set,get,lpush,sadd,hset,mset) || :
	kill "$redis_server" 2>/dev/null || :
	wait "$redis_server" || elapsed=''
	redis_server=''
	[[ -z $elapsed ]] || awk -v ms="$elapsed" '{ print ms, $2, $3 }' \
		"$tmp/redis.measured"
)

# has PACKAGE COMMAND...: installs the package, or says that it is left out.
has() {
	local command

	for command in "${@:2}"; do
		type -P "$command" >/dev/null && continue
		(need_packages "$1") || :
		apt_is_fresh=1
		type -P "$command" >/dev/null && continue
		echo "bench: not installed, left out: $command" >&2
		return 1
	done
}

bench_heap_programs() {
	find_allocators
	heap_heading "programs"
	! has python3 /usr/bin/python3 || PYTHONMALLOC=malloc program python3 \
		measured /usr/bin/python3 "$top/tests/bench/heap.py"
	c_source >"$tmp/large.c"
	! has gcc gcc || program "gcc -O2" \
		measured gcc -O2 -S -o /dev/null "$tmp/large.c"
	! has sqlite3 sqlite3 || program sqlite3 \
		measured sqlite3 :memory: ".read $top/tests/bench/heap.sql"
	! has redis-server redis-server redis-cli redis-benchmark ||
		program redis redis
	! has nodejs node ||
		program node measured node "$top/tests/bench/heap.js"
}

bench_heap_fork() {
	local i owners=()

	find_allocators
	for i in 1 2 3 4 5; do
		owners+=("$tmp/libowner$i.so")
		cp "$programs/lib_owner.so" "${owners[-1]}"
	done
	heap_heading "200 MiB of 5 owners"
	take_turns preloaded "$programs/heap_pages" fork 200 "${owners[@]}"
	heap_row "fork, exit, wait" ms 1 1 "" "<= 2.0"
}

# freed WHAT BLOCK-BYTES: once, for it takes 12 s: a process begins when the
# one before has freed its memory, and then all wait together.
freed() {
	local name left fd fds=()

	heap_command="heap_pages freed $2"
	rm -rf "$tmp/runs"
	mkdir "$tmp/runs"
	for name in "${heap_allocators[@]}"; do
		exec {fd}< <(preloaded "${heap_library[$name]}" \
			"$programs/heap_pages" freed "$2")
		fds+=("$fd")
		read -r -u "$fd" left || :
	done
	for name in "${heap_allocators[@]}"; do
		fd=${fds[0]} fds=("${fds[@]:1}")
		read -r -u "$fd" left || left=''
		exec {fd}<&-
		record "$name" "$left"
	done
	heap_row "$1" MiB 1 1 "" "<= 1.15"
}

bench_heap_freed() {
	find_allocators
	heap_heading "resident, 1 GiB freed, 12 s on"
	freed "blocks of 64 KiB" 65536
	freed "blocks of 256 bytes" 256
}

bench_heap() {
	local part

	for part in "${heap_parts[@]}"; do
		"bench_${part//-/_}"
	done
}
