# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # used by, and set by, who sources it
#
# Copy-on-write's part of scripts/bench: forks that copy nothing, what writes
# cost while their children have not all yet, and snapshots. Source it after
# bench-heap.sh and bench-fork.sh, whose runs by turns and whose names of sizes
# it uses; "anonshim" is who the ratios are of. It runs nothing by itself.
#
# A run is one process, whose line has the figures of several rows; see
# tests/bench/cow.c for the columns.

cow_parts=(cow-forks cow-writes cow-snapshots)
cow_forks_rows=(
	"the first of the process" "all written before"
	"again, 1 % written in a row" "again, 1 % written at random"
	"and exec: fork()" "and exec: until its end"
	"beside a writer, all written"
)
cow_levels=(1 10 100 1000 10000)
cow_level_columns=7

# Who takes turns: the shim's options, or - without it, how memory is, and how
# many forks at most. To copy at once takes long, and as long each time. What is
# mapped once, and so has no alias, is copied because of its name.
declare -A cow_ways=(
	[native]="- private"
	[plain]="- plain"
	[eager]="private=bench,copy=eager shared 1"
	[anonshim]="private=bench,copy=lazy shared"
	[copy]="- copy"
	[private]="- private"
)

# cow_run WAY WHAT MIB OPTION...: one process. With the shim one that has
# something to say has not done what is measured, and failed.
cow_run() {
	local options how forks

	read -r options how forks <<<"$1"
	set -- "$1" "$2" "$3" ${forks:+-n "$forks"} "${@:4}"
	if [[ $options == - ]]; then
		"$programs/cow" "${@:4}" "$2" "$how" "$3"
		return
	fi
	LD_PRELOAD=$shim ANONSHIM_OPTIONS=$options \
		"$programs/cow" "${@:4}" "$2" "$how" "$3" 2>"$tmp/said" &&
		[[ ! -s $tmp/said ]] && return
	cat "$tmp/said" >&2
	return 1
}

# cow_turns "WAY..." WHAT MIB OPTION...
cow_turns() {
	ways_turns cow_ways cow_run "$@"
}

# What can be measured here ----------------------------------------------------

# cow_permitted: or a line, once, that says why not.
cow_permitted() {
	local status=0

	if [[ -z ${cow_permitted_status:-} ]]; then
		LD_PRELOAD=$shim "$programs/cow" permitted shared 1 || status=$?
		cow_permitted_status=$status
		case $status in
		0) ;;
		77) echo "bench: userfaultfd is not permitted (root may, and" \
			"see anonshim doctor), left out: cow" >&2 ;;
		*) echo "bench: no snapshot can be taken, left out: cow" >&2 ;;
		esac
	fi
	((!cow_permitted_status))
}

# cow_fits WHAT MIB NEEDED-MIB: or a line that says that it is left out.
cow_fits() {
	local available

	if (($2 > cow_most)); then
		echo "bench: over --most $cow_most, left out: $1" >&2
		return 1
	fi
	available=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' \
		/proc/meminfo)
	((available < $3)) || return 0
	echo "bench: $3 MiB of memory wanted, $available MiB available," \
		"left out: $1" >&2
	return 1
}

# cow_size MIB: the largest that --most permits.
cow_size() {
	echo $(($1 < cow_most ? $1 : cow_most))
}

# cow_few: rounds of what takes a minute each.
cow_few() {
	echo $(((heap_rounds + 2) / 3))
}

# Rows -------------------------------------------------------------------------

# cow_begin WHAT UNIT
cow_begin() {
	if [[ -n $json ]]; then
		printf '%s{"what": "%s", "unit": "%s", "figures": {' \
			"$separator" "$1" "$2"
	else
		printf '%-34s %-3s' "$1" "$2"
	fi
	cow_between=''
}

# cow_figure NAME FIGURE
cow_figure() {
	if [[ -n $json ]]; then
		printf '%s"%s": %s' "$cow_between" "$1" "${2:-null}"
	else
		printf ' %9s' "${2:--}"
	fi
	cow_between=', '
}

cow_figures_end() {
	[[ -z $json ]] || printf '}'
}

# cow_lazy_row WHAT COLUMN NAME...: microseconds of those, and no end yet.
cow_lazy_row() {
	local name

	cow_begin "$1" us
	for name in "${@:3}"; do
		cow_figure "${name/anonshim/lazy}" "$(median "$name" "$2" 1)"
	done
	cow_figures_end
}

# cow_judged NAME LIMIT [MEDIAN LOW HIGH]: what LIMIT is about.
cow_judged() {
	local met

	met=$(judged "$2" "${3:-}" "${4:-}")
	if [[ -n $json ]]; then
		printf ', "%s": {"figure": %s, "low": %s, "high": %s, ' "$1" \
			"${3:-null}" "${4:-null}" "${5:-null}"
		printf '"target": "%s", "met": "%s"}' "$2" "${met:--}"
		return
	fi
	printf ' %7s %-15s %-14s' "${3:+$(printf %.3f "$3")}" \
		"${3:+$(printf '%.3f-%.3f' "$4" "$5")}" "${2:+$2 $met}"
}

cow_end() {
	[[ -z $json ]] || printf '}'
	[[ -n $json ]] || printf '\n'
	separator=$',\n    '
}

# cow_heading WHAT "COLUMN..." JUDGED...
cow_heading() {
	local column

	[[ -z $json ]] || return 0
	printf '%-38s' "$1"
	for column in $2; do
		printf ' %9s' "$column"
	done
	printf ' %-38s' "${@:3}"
	printf '\n'
}

# cow_by_rounds NAME COLUMN NAME COLUMN EXPRESSION: median and quartiles of
# EXPRESSION of both, x and y, in each round.
cow_by_rounds() {
	paste -d ' ' <(numbers "$1" "$2" 1) <(numbers "$3" "$4" 1) |
		awk '{ x = $1; y = $2 }
		x != "-" && y != "-" && y > 0 {
			printf "%.4f\n", '"$5"' }' | quartiles
}

# Forks ------------------------------------------------------------------------

# cow_forks_row WHAT COLUMN OF-NATIVE OF-ALL: the last two are limits. Natively,
# too, a fork is quicker when the one before has left all but 1 % as it wants
# it; what the limit is of is one that does all, and that is a ratio more.
cow_forks_row() {
	cow_lazy_row "$1" "$2" native eager anonshim
	# shellcheck disable=SC2046 # three words
	cow_judged of_native "$3" $(ratio_to native "$2")
	# shellcheck disable=SC2046 # three words
	cow_judged of_eager "" $(ratio_to eager "$2")
	# shellcheck disable=SC2046 # three words
	[[ $1 != *"again, 1 %"* ]] || cow_judged of_native_all "$4" \
		$(cow_by_rounds anonshim "$2" native 2 "x / y")
	cow_end
}

# cow_forks MIB ALIASES
cow_forks() {
	local i what limit='' limit_again=''

	what="$(size "$1") in $2 alias$( (($2 == 1)) || echo es)"
	cow_fits "fork of $what" "$1" $(($1 * 9 / 4 + 256)) || return 0
	# what the project promises is of this one alone
	[[ $1 != 1024 || $2 != 2 ]] || limit="<= 1.7" limit_again="<= 0.17"
	cow_heading "fork of $what" "native eager lazy" \
		"lazy of native" "lazy of eager" "lazy of native, all written"
	cow_turns "anonshim native eager" forks "$1" -a "$2"
	for i in "${!cow_forks_rows[@]}"; do
		# the first two are what the limit is about
		cow_forks_row "${json:+$what, }${cow_forks_rows[i]}" \
			$((i + 1)) "$( ((i > 1)) || echo "$limit")" \
			"$limit_again"
	done
}

bench_cow_forks() {
	local mib heap_rounds=$heap_rounds

	cow_permitted || return 0
	for mib in 64 256 1024; do
		cow_forks $mib 2
	done
	cow_forks 1024 1
	cow_forks 1024 3
	heap_rounds=$(cow_few)
	cow_forks 4096 2
}

# Writes -----------------------------------------------------------------------

# cow_writes_row WHAT COLUMN MORE: the last is a limit, in microseconds.
cow_writes_row() {
	cow_lazy_row "$1" "$2" plain native anonshim
	# shellcheck disable=SC2046 # three words
	cow_judged more_than_plain "$3" \
		$(cow_by_rounds anonshim "$2" plain "$2" "x - y")
	# shellcheck disable=SC2046 # three words
	cow_judged of_native "" $(ratio_to native "$2")
	cow_end
}

bench_cow_writes() {
	local mib what

	cow_permitted || return 0
	mib=$(cow_size 1024)
	what="$(size "$mib") in 2 aliases"
	cow_fits "writes to $what" "$mib" $((mib * 9 / 4 + 256)) || return 0
	cow_heading "a write, $what" "plain native lazy" \
		"lazy more than plain" "lazy of native"
	cow_turns "anonshim plain native" writes "$mib" -a 2
	cow_writes_row "child stopped: all in a row" 1 "<= 3"
	cow_writes_row "child stopped: all at random" 2 "<= 3"
	cow_writes_row "child stopped: 1 % at random" 3 "<= 3"
	cow_writes_row "child killed: all in a row" 4 ""
	cow_writes_row "child killed: in a row, again" 5 ""
	cow_writes_row "child killed: all at random" 6 ""
	cow_writes_row "child killed: at random, again" 7 ""
}

# Snapshots --------------------------------------------------------------------

# cow_snapshots_row WHAT UNIT FIELD KIND LIMIT: FIELD of each level; KIND is
# growth, the last level's of the second's, or last, that itself.
cow_snapshots_row() {
	local i name last

	last=$(($3 + (cow_alive - 1) * cow_level_columns))
	cow_begin "$1" "$2"
	for i in "${!cow_levels[@]}"; do
		cow_figure "${cow_levels[i]}" "$(median anonshim \
			$(($3 + i * cow_level_columns)) 1)"
	done
	for name in copy private; do
		cow_figure "$name" "$(median "$name" "$3" 1)"
	done
	cow_figures_end
	case $4 in
	growth)
		# shellcheck disable=SC2046 # three words
		cow_judged last_of_10th "$5" $(cow_by_rounds anonshim "$last" \
			anonshim $(($3 + cow_level_columns)) "x / y")
		;;
	last)
		# shellcheck disable=SC2046 # three words
		cow_judged last "$5" $(cow_by_rounds anonshim "$last" \
			anonshim "$last" x)
		;;
	esac
	cow_end
}

# cow_left_row WHAT UNIT COLUMN: when all are dropped.
cow_left_row() {
	cow_begin "$1" "$2"
	cow_figure all "$(median anonshim "$3" 1)"
	cow_figures_end
	cow_end
}

# cow_snapshots_alive MIB: as many as hold no more than four times as much as
# is there, and fit; as the number of levels.
cow_snapshots_alive() {
	local n=${#cow_levels[@]}

	while ((n > 1 && cow_levels[n - 1] * 100 / 256 > $1 * 4)) ||
		{ ((n > 1)) && ! cow_fits "${cow_levels[n - 1]} snapshots" \
			"$1" $(($1 * 9 / 4 + cow_levels[n - 1] * 420 / 1024 +
			256)); }; do
		((n--))
	done
	echo "$n"
}

bench_cow_snapshots() {
	local mib cow_alive what heap_rounds=$heap_rounds

	cow_permitted || return 0
	mib=$(cow_size 1024)
	what="$(size "$mib") in 2 aliases"
	cow_fits "snapshots of $what" "$mib" $((mib * 9 / 4 + 256)) || return 0
	cow_alive=$(cow_snapshots_alive "$mib")
	heap_rounds=$(cow_few)
	cow_turns "anonshim copy private" snapshots "$mib" -a 2 \
		-s "${cow_levels[cow_alive - 1]}"
	cow_heading "snapshots alive, $what" \
		"${cow_levels[*]} memcpy MAP_PRIV" "last of 10th"
	cow_snapshots_row "to take one" us 1 growth \
		"$( ((cow_alive < ${#cow_levels[@]})) || echo "<= 1.5")"
	cow_snapshots_row "a page's first write" us 2 growth ""
	cow_snapshots_row "to make a view" us 3 growth ""
	cow_snapshots_row "a page's first read there" us 4 growth ""
	cow_heading "their memory" "${cow_levels[*]} memcpy MAP_PRIV" "last"
	cow_snapshots_row "pages kept" "" 5 "" ""
	cow_snapshots_row "memory a snapshot" KiB 6 "" ""
	cow_snapshots_row "memory of pages written" "" 7 last "<= 1.05"
	cow_left_row "to drop one, at random" us $((cow_level_columns * \
		${#cow_levels[@]} + 1))
	cow_left_row "memory left behind" KiB $((cow_level_columns * \
		${#cow_levels[@]} + 2))
}

bench_cow() {
	local part

	for part in "${cow_parts[@]}"; do
		"bench_${part//-/_}"
	done
}
