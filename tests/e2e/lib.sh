# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2030,SC2031,SC2034 # topics use them
#
# What the end-to-end tests share; sourced in a directory of the test's own.
#
# A test starts a victim with `start`, which sets $pid, and asserts what can be
# seen from outside: `holds EXPRESSION` about a report, `same` about files.
# `shown CHECK victim...` runs a check twice, under the shim, where it has to
# hold, and without, where it must not: a check that cannot fail is none.

shim=$E2E_BUILD/.libs/libanonshim.so
anonshim=$E2E_BUILD/anonshim
victims=$E2E_BUILD/tests/victims
libraries=$victims/.libs
python=/usr/bin/python3
nobody=65534
pid=
started=()
also=()

why_file=$PWD/.why

fail() {
	printf '%s\n' "$*" | tee "$why_file"
	exit 1
}

skip() {
	printf '%s\n' "$*" >"$why_file"
	exit 77
}

# What is left of a test goes with it.
clean_up() {
	local one

	for one in ${started[@]+"${started[@]}"}; do
		kill -CONT "$one" 2>/dev/null || :
		kill -KILL "$one" 2>/dev/null || :
	done
	wait 2>/dev/null || :
}
trap clean_up EXIT

# Conditions ----------------------------------------------------------------

needs() {
	local word

	for word; do
		type -P "$word" >/dev/null || skip "no $word"
	done
}

needs_root() { ((EUID == 0)) || skip "not root"; }

# Whether writes to shared memory can be seen here.
may_watch() { ((EUID == 0)) && [[ -c /dev/userfaultfd ]]; }

needs_watch() { may_watch || skip "userfaultfd is not permitted"; }
needs_names() { [[ $E2E_NAMES ]] || skip "this kernel takes no names"; }
slow() { [[ ! $E2E_FAST ]] || skip "slow"; }
# Emulation is slow: what says nothing new there.
not_in_lab() { [[ ! $E2E_LAB ]] || skip "too slow in the lab"; }
heavy() { slow && not_in_lab; }

# less LAB NORMAL [FAST]: a number of rounds.
less() {
	if [[ $E2E_LAB ]]; then
		echo "$1"
	elif [[ $E2E_FAST ]]; then
		echo "${3:-$2}"
	else
		echo "$2"
	fi
}

# Running -------------------------------------------------------------------

# with OPTIONS COMMAND...: under the shim, with these ANONSHIM_OPTIONS.
with() {
	local options=$1

	shift
	env LD_PRELOAD="$shim" ANONSHIM_OPTIONS="$options" VICTIM_SHIM=1 "$@"
}

# without COMMAND...: the same, nothing preloaded.
without() { env -u LD_PRELOAD -u ANONSHIM_OPTIONS "$@"; }

# soon COMMAND...: until it succeeds, for a minute or two.
soon() {
	local i

	for ((i = 0; i < 3000; i++)); do
		! "$@" || return 0
		sleep 0.02
	done
	return 1
}

# await FILE TEXT: until FILE of $pid's output holds a line TEXT.
await() {
	local i

	for ((i = 0; i < 4000; i++)); do
		! grep -qsx "$2" "$1" || return 0
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.02
	done
	! grep -qsx "$2" "$1" || return 0 # its last word
	cat "$1" >&2
	wait "$pid" || [[ $? != 77 ]] || skip "$(tail -n 1 "$1")"
	fail "the victim did not come to '$2'"
}

# start COMMAND...: in the background, until it says that it is ready; sets
# $pid. Its output is in ./out. COMMAND begins with `with` or `without`.
start() {
	rm -f out
	# exec, so that $! is the victim
	if [[ $1 == with ]]; then
		env LD_PRELOAD="$shim" ANONSHIM_OPTIONS="$2" VICTIM_SHIM=1 \
			"${@:3}" >out 2>&1 &
	else
		"${@:2}" >out 2>&1 &
	fi
	pid=$!
	started+=("$pid")
	await out ready
}

stop() {
	kill -KILL "$pid" 2>/dev/null || :
	wait "$pid" 2>/dev/null || :
}

# status COMMAND...: sets $status, whatever it is.
status() {
	status=0
	"$@" || status=$?
}

# Asserting -----------------------------------------------------------------

# report [ARGUMENT...]: of $pid, by name, into report.json.
report() {
	"$anonshim" report "${subject[@]:-$pid}" --json "$@" >report.json ||
		fail "report failed"
}

# holds EXPRESSION...: about report.json, see ask.py; one after the other.
holds() {
	"$python" -IS "$E2E_DIR/ask.py" report.json "$pid" "$@" >held && return
	cat held
	fail "$(grep -m 1 . held || echo "no answer: $*")"
}

# shows EXPRESSION...: about the report of $pid by name.
shows() {
	report --by name
	holds "$@"
}

# shown EXPRESSION COMMAND...: EXPRESSION holds of COMMAND under the shim, and
# does not of COMMAND alone; in the lab, where all is slow, only the first. More
# EXPRESSIONs, that only have to hold, are in ${also[@]}.
shown() {
	local expression=$1

	shift
	[[ $E2E_LAB ]] || hidden "$expression" "$@"
	start with "${options:-}" "$@"
	shows "$expression" ${also[@]+"${also[@]}"}
}

# hidden EXPRESSION COMMAND...: it does not hold without the shim.
hidden() {
	start without "${@:2}"
	! (why_file=/dev/null started=() && shows "$1") >/dev/null 2>&1 ||
		fail "holds without the shim: $1"
	stop
}

same() {
	cmp "$1" "$2" >&2 && return
	diff -a "$1" "$2" || :
	fail "${3:-$1} differs"
}

# contains FILE TEXT; lacks FILE TEXT
contains() {
	grep -qF -- "$2" "$1" && return
	cat "$1"
	fail "$1 does not say: $2"
}
lacks() {
	! grep -qF -- "$2" "$1" && return
	cat "$1"
	fail "$1 says: $2"
}

equal() { [[ $1 == "$2" ]] || fail "${3:-value}: $1, not $2"; }
one_line() {
	(($(wc -l <"$1") == 1)) && return
	cat "$1"
	fail "$1: not one line"
}

# unchanged COMMAND...: exit status, standard output and error of COMMAND are
# the same under the shim as without.
unchanged() {
	local plain

	status without "$@" >plain.out 2>plain.err </dev/null
	plain=$status
	status with "${options:-}" "$@" >shim.out 2>shim.err </dev/null
	cat plain.err shim.err >&2
	equal "$status" "$plain" "exit status under the shim"
	same shim.out plain.out "standard output"
	same shim.err plain.err "standard error"
}

# sabotaged WORD COMMAND...: `unchanged` would see a preload that does WORD.
sabotaged() {
	local word=$1

	shift
	! (
		why_file=/dev/null started=() shim=$libraries/lib_sabotage.so
		export SABOTAGE=$word
		unchanged env -u VICTIM_SHIM "$@"
	) >/dev/null 2>&1 || fail "the test cannot see sabotage: $word"
}

# fine COMMAND...: exits with 0 under the shim (and, lest the victim be at
# fault, without it).
fine() {
	fine_without "$@"
	fine_with "$@"
}

fine_without() {
	status without "$@" </dev/null
	((status != 77)) || skip "$(basename "$1") cannot be tried here"
	equal "$status" 0 "exit status without the shim"
}

fine_with() {
	status with "${options:-}" "$@" </dev/null
	equal "$status" 0 "exit status under the shim, '${options:-}'"
}

# compiled NAME: a C++ victim, made once in the build tree.
compiled() {
	local program=$victims/$1

	[[ -x $program ]] && return
	needs g++
	g++ -g -O2 -fno-inline -o "$program.$$" "$E2E_DIR/../victims/$1.cc" ||
		fail "g++ failed"
	mv "$program.$$" "$program"
}

# The same twice ------------------------------------------------------------

# under COMMAND...: as $how says.
under() {
	if [[ $how == plain ]]; then
		without "$@"
	else
		env LD_PRELOAD="$shim" "$@"
	fi
}

# The same in place of this shell: `become COMMAND... &` has its PID in $!.
become() {
	[[ $how == plain ]] || export LD_PRELOAD=$shim
	exec "$@"
}

# one_way FUNCTION...: as $how says, in a directory of that name.
one_way() {
	mkdir -p "$how"
	(cd "$how" && "$@") >"$how.out" 2>"$how.err" </dev/null ||
		echo "exit status $?" >>"$how.out"
}

both_are_alike() {
	tail -n 5 plain.err shimmed.err
	! grep -q '^exit status' plain.out ||
		{ cat plain.*; fail "fails without the shim too"; }
	same shimmed.out plain.out "standard output"
	diff -r plain shimmed >files || { head files; fail "files differ"; }
}

# alike FUNCTION...: in ./plain and ./shimmed, with $how set; the same status,
# output and files.
alike() {
	local how

	for how in plain shimmed; do one_way "$@"; done
	both_are_alike
}

# The same for what waits most of the time.
alike_at_once() {
	local how ways=()

	for how in plain shimmed; do
		one_way "$@" &
		ways+=("$!")
	done
	wait "${ways[@]}"
	both_are_alike
}
