#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Holds the size, the licence line and the format of every file, and prints
# the figures of the whole. Part of `make check`. What needs a tool that is
# missing is left out, with a line that says so.
#
# check-style.sh [DIR]

set -euo pipefail
export LC_ALL=C

max_columns=80
max_file_lines=600
max_function_lines=80
clang_format_version=14 # versions differ; this is Debian 12's

cd "${1:-${top_srcdir:-$(dirname "${BASH_SOURCE[0]}")/..}}"
violations=0

# report RULE: each line on stdin, FILE:LINE[:...], is a violation of RULE.
report() {
	local line

	while IFS= read -r line; do
		violations=$((violations + 1))
		printf '%s: %s\n' "$line" "$1"
	done
}

find_files() {
	find src include tests scripts -path 'tests/*/corpus*' -prune -o \
		-path tests/data -prune -o -type f "$@" -print | sort
}

mapfile -t c_files < <(find_files -name '*.[ch]')
mapfile -t scripts < <(
	find_files ! -name '*.[chS1-9]' |
		xargs -d '\n' grep -lE '^#!.*sh$|^# shellcheck shell=bash')
mapfile -t all_files < <(
	printf '%s\n' "${c_files[@]}" "${scripts[@]}" configure.ac Makefile.am
	find_files \( -name '*.S' -o -name '*.def' -o -name '*.mk' \
		-o -name '*.map' -o -name '*.py' -o -name '*.[1-9]' \)
	find .ci -type f 2>/dev/null)
mapfile -t all_files < <(printf '%s\n' "${all_files[@]}" | sort -u)

check_lines() {
	report "over $max_columns columns" < <(
		for file in "${all_files[@]}" README; do
			expand "$file" | awk -v file="$file" \
				-v max="$max_columns" 'length($0) > max {
				print file ":" NR }'
		done)
	report "blank at the end of the line" < <(
		grep -nE '[[:blank:]]$' "${all_files[@]}" README |
			cut -d: -f1,2)
	report "no SPDX line at the top" < <(
		for file in "${all_files[@]}"; do
			head -n 2 "$file" | grep -q \
				'SPDX-License-Identifier: BSD-2-Clause' ||
				echo "$file:1"
		done)
	report "left to do" < <(
		grep -nwE 'TO[D]O|FIX[M]E|XX[X]' "${all_files[@]}" README |
			cut -d: -f1,2)
	report "more than $max_file_lines lines" < <(
		awk -v max="$max_file_lines" 'FNR == max + 1 {
			print FILENAME ":" FNR }' "${all_files[@]}")
}

# LINES FILE:LINE of each function: a body is from { to } in column 1.
function_sizes() {
	awk '/^\{/ { start = FNR }
	     /^\}/ { if (start)
			print FNR - start - 1, FILENAME ":" start
		     start = 0 }' "${c_files[@]}"
}

check_functions() {
	report "a function of more than $max_function_lines lines" < <(
		function_sizes | awk -v max="$max_function_lines" \
			'$1 > max { print $2 }')
}

check_format() {
	local version

	version=$(clang-format --version 2>/dev/null |
		sed 's/.*version \([0-9]*\).*/\1/') || :
	if [[ $version != "$clang_format_version" ]]; then
		echo "check-style: no clang-format $clang_format_version," \
			"format not checked"
		return
	fi
	report "clang-format would change it" < <(
		clang-format --dry-run "${c_files[@]}" 2>&1 |
			sed -n 's/:[0-9]*: warning: .*//p' | sort -u -t: -k1,1)
}

check_scripts() {
	local file

	for file in "${scripts[@]}"; do
		case $(head -n 1 "$file") in
		*busybox*) busybox_syntax "$file" ;;
		*) bash -n "$file" ;;
		esac 2>&1 || violations=$((violations + 1))
	done
	if ! type -P shellcheck >/dev/null; then
		echo "check-style: no shellcheck, scripts only parsed"
		return
	fi
	report "shellcheck" < <(
		shellcheck -x -s bash -f gcc "${scripts[@]}" 2>&1 |
			sed 's/: \(note\|warning\|error\): /: /')
}

busybox_syntax() {
	! type -P busybox >/dev/null || busybox sh -n "$1"
}

# comment_ratio NAME FILE...
comment_ratio() {
	awk -v name="$1" '
	{ line = $0; sub(/^[ \t]+/, "", line) }
	line == "" { next }
	inside || line ~ /^\/[*\/]/ {
		comments++
		if (line ~ /^\/\*/)
			inside = 1
		if (line ~ /\*\//)
			inside = 0
		next
	}
	{ code++; if (line ~ /\/\*/) comments++ }
	END { printf "check-style: %s: %d lines of code, %.2f of comment " \
		"each\n", name, code, code ? comments / code : 0 }' "${@:2}"
}

# quantiles NAME: of the numbers on stdin.
quantiles() {
	sort -n | awk -v name="$1" '{ v[NR] = $1 }
	END { if (NR) printf "check-style: %s: %d, lines: median %d, " \
		"90 %% below %d, most %d\n", name, NR, v[int((NR + 1) / 2)],
		v[int(NR * 0.9) + (NR * 0.9 > int(NR * 0.9))], v[NR] }'
}

print_figures() {
	local file sources tests

	mapfile -t sources < <(printf '%s\n' "${c_files[@]}" |
		grep '^src/')
	mapfile -t tests < <(printf '%s\n' "${c_files[@]}" | grep '^tests/')
	for file in "${sources[@]}"; do
		wc -l <"$file"
	done | quantiles "files of src"
	function_sizes | grep ' src/' | quantiles "functions of src"
	comment_ratio src "${sources[@]}"
	((${#tests[@]} == 0)) || comment_ratio tests "${tests[@]}"
	comment_ratio include include/*.h
}

check_lines
check_functions
check_format
check_scripts
print_figures
if ((violations)); then
	printf 'check-style: %d violations\n' "$violations"
	exit 1
fi
printf 'check-style: %d files, no violation\n' "${#all_files[@]}"
