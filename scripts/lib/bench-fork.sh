# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # used by, and set by, who sources it
#
# The fork's part of scripts/bench: how long fork() keeps its caller, who has
# memory mapped at several addresses, beside what is to be had without. Source
# it after bench-heap.sh, whose runs by turns it uses; there "anonshim" is who
# the ratios are of. It runs nothing by itself.

fork_parts=(fork-none fork-sizes fork-aliases fork-more fork-huge)
fork_huge=/sys/kernel/mm/transparent_hugepage/shmem_enabled
fork_huge_was=''

# Who takes turns: native forks private memory of the same size, without the
# shim; alone forks with it, nothing made private; pwrite is not a fork but one
# pass over the data, into a new memfd. Beside a single mapping, which is no
# alias, a copy has to be asked for: fork=all.
declare -A fork_ways=(
	[native]="- private"
	[alone]="fork=none shared"
	[pwrite]="- pwrite"
	[anonshim]="fork=all,copy=eager shared"
	[off]="fork=none private"
	[on]="fork=auto private"
)

# fork_run WAY MIB OPTION...: one process; microseconds of fork(), and until
# the child has ended.
fork_run() {
	local options what

	read -r options what <<<"$1"
	if [[ $options == - ]]; then
		"$programs/fork" "${@:3}" "$what" "$2"
	else
		LD_PRELOAD=$shim ANONSHIM_OPTIONS=$options \
			"$programs/fork" "${@:3}" "$what" "$2"
	fi
}

# ways_turns ARRAY FUNCTION "WAY..." ARG...: by turns, FUNCTION with what ARRAY
# says of each way.
ways_turns() {
	local heap_allocators=() name
	local -A heap_library=()
	local -n ways=$1

	# the first is who the ratios are of
	for name in $3; do
		heap_allocators+=("$name")
		heap_library[$name]=${ways[$name]}
	done
	take_turns "$2" "${@:4}"
}

# fork_turns "WAY..." MIB OPTION...
fork_turns() {
	ways_turns fork_ways fork_run "$@"
}

# fork_figures NAME...: medians of column $1 of those.
fork_figures() {
	local column=$1 name figure between=''

	for name in "${@:2}"; do
		figure=$(median "$name" "$column" 1)
		if [[ -n $json ]]; then
			printf '%s"%s": %s' "$between" \
				"${name/anonshim/eager}" "${figure:-null}"
		else
			printf ' %9s' "${figure:--}"
		fi
		between=', '
	done
}

# fork_row WHAT COLUMN OF-NATIVE OF-PWRITE: the last two are limits.
fork_row() {
	[[ -z $json ]] || printf '%s{"what": "%s", "unit": "us", "figures": {' \
		"$separator" "$1"
	[[ -n $json ]] || printf '%-31s' "$1"
	fork_figures "$2" native alone anonshim pwrite
	[[ -z $json ]] || printf '}'
	# shellcheck disable=SC2046 # three words
	print_ratio native "$3" $(ratio_to native "$2")
	# shellcheck disable=SC2046 # three words
	print_ratio pwrite "$4" $(ratio_to pwrite "$2")
	[[ -z $json ]] || printf '}'
	[[ -n $json ]] || printf '\n'
	separator=$',\n    '
}

fork_heading() {
	[[ -n $json ]] || printf '%-31s %9s %9s %9s %9s %-33s %s\n' "$1" \
		native alone eager pwrite " eager of native" " of pwrite"
}

fork_all=(anonshim native alone pwrite)

# stall WHAT OF-NATIVE OF-PWRITE MIB OPTION...
stall() {
	fork_turns "${fork_all[*]}" "${@:4}"
	fork_row "$1" 1 "$2" "$3"
}

# size MIB: as people write it.
size() {
	numfmt --to=iec-i --suffix=B --format='%.0f' $(($1 << 20)) |
		sed 's/\([KMGT]\)/ \1/'
}

# no_group WHAT MIB OPTION...: nothing is copied, and that costs nothing.
no_group() {
	local heap_rounds=$((heap_rounds * 3))

	fork_turns "on off" "${@:2}"
	mv "$tmp/runs/on" "$tmp/runs/anonshim"
	# shellcheck disable=SC2046 # three words
	result "$1" us "$(median off 1 1)" "$(median anonshim 1 1)" \
		$(ratio_to off 1) "<= 1.02"
}

bench_fork_none() {
	local mib

	heading "fork, no memory at two addresses" "ratio"
	for mib in 1 16 128; do
		no_group "private, $(size $mib)" $mib -n $((256 / mib + 5))
	done
	fork_ways[on]="fork=auto shared" fork_ways[off]="fork=none shared"
	no_group "shared, mapped once, $(size 64)" 64 -n 200
	fork_ways[on]="fork=auto private" fork_ways[off]="fork=none private"
}

bench_fork_sizes() {
	local mib

	fork_heading "us in fork(), 2 aliases"
	for mib in 1 16 64 256 1024; do
		stall "$(size $mib)" "" "~ 1.0" $mib -a 2
	done
}

bench_fork_aliases() {
	local n

	fork_heading "us in fork(), $(size 1024)"
	for n in 1 2 3; do
		stall "$n alias$( ((n == 1)) || echo es)" "" "~ 1.0" 1024 -a $n
	done
}

bench_fork_more() {
	fork_heading "us in fork(), $(size 1024), 2 aliases"
	stall "1 % touched" "" "~ 1.0" 1024 -a 2 -p 1
	stall "10 % touched" "" "~ 1.0" 1024 -a 2 -p 10
	stall "beside an idle thread" "" "" 1024 -a 2 -t 2
	fork_turns "anonshim native alone" 1024 -a 2 -e
	fork_row "and exec: fork()" 1 "" ""
	fork_row "and exec: until its end" 2 "" ""
}

# fork_restore: the setting as it was; at any end.
fork_restore() {
	[[ -z $fork_huge_was ]] || echo "$fork_huge_was" >"$fork_huge"
	fork_huge_was=''
}

bench_fork_huge() {
	local was

	was=$(sed -n 's/.*\[\(.*\)\].*/\1/p' "$fork_huge" 2>/dev/null) || :
	if [[ -z $was || ! -w $fork_huge ]]; then
		echo "bench: cannot set $fork_huge, left out: fork-huge" >&2
		return
	fi
	fork_huge_was=$was
	echo always >"$fork_huge"
	fork_heading "shared memory in huge pages"
	stall "$(size 64), 2 aliases" "" "" 64 -a 2
	stall "$(size 1024), 2 aliases" "<= 5" "" 1024 -a 2
	fork_restore
}

bench_fork() {
	local part

	for part in "${fork_parts[@]}"; do
		"bench_${part//-/_}"
	done
}
