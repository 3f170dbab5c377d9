#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Holds the house's rules on who may include, call or name what. Part of
# `make check`. Reads the sources with comments taken out, and of the built
# library, where there is one, what it wants from libc.
#
# check-layers.sh              check this tree, then check the checks
# check-layers.sh --tree DIR   check DIR only
# check-layers.sh --self-test  plant one violation after the other in a copy
#                              and see that each is found

set -euo pipefail
export LC_ALL=C
sp='[[:space:]]*'

top=${top_srcdir:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)}
self=$(realpath "${BASH_SOURCE[0]}")

# What a storey may include, beside itself and wire/, which all share.
declare -A below=(
	[base]=""
	[env]="base"
	[track]="env base"
	[heap]="track env base"
	[cow]="track env base"
	[interpose]="heap cow track env base"
	[shim]="interpose heap cow track env base"
	[wire]=""
	[tool]=""
	[man]=""
)

# What the shim may take from outside itself. Everything here neither
# allocates, nor buffers, nor reads the environment. What is new in this list
# has to be safe in a signal handler, or to be called where no handler runs.
wanted=(
	'__errno_location' '__assert_fail' '__stack_chk_fail'
	'__cxa_finalize' '_ITM_*' '__gmon_start__'
	'__mem*_chk' '__sigsetjmp'
	'dlsym' 'dlopen' 'dlclose' 'dladdr1' 'dl_iterate_phdr'
	'_dl_find_object' 'getauxval'
	'__register_atfork' 'pthread_self' 'pthread_attr_*'
	'pthread_getattr_default_np'
	'__pthread_register_cancel' '__pthread_unregister_cancel'
	'__pthread_unwind_next' 'pthread_key_create' 'pthread_setspecific'
	'fputs' # of malloc_info, into the program's FILE
	# jemalloc's own
	'pthread_mutex_*' 'pthread_mutexattr_*' 'pthread_cond_*'
	'pthread_join' 'pthread_getname_np' 'pthread_setname_np'
	'pthread_sigmask' 'sigfillset' 'sched_*' '__sched_cpucount' 'sysconf'
	'clock_gettime' 'gettimeofday' 'getpid' 'close' 'madvise' 'mprotect'
	'strerror_r' 'abort' '_exit' '__ctype_b_loc'
)

# Prints FILE:LINE:text of C sources without comments; literals become "" if
# `keep_literals` is 0.
strip_comments() {
	awk -v keep_literals="$1" '
	FNR == 1 { inside = 0 }
	{
		out = ""; rest = $0
		while (rest != "") {
			if (inside) {
				if (!(at = index(rest, "*/")))
					break
				rest = substr(rest, at + 2)
				inside = 0
				continue
			}
			if (!match(rest, /\/\*|\/\/|"|\047/)) {
				out = out rest
				break
			}
			out = out substr(rest, 1, RSTART - 1)
			mark = substr(rest, RSTART, RLENGTH)
			rest = substr(rest, RSTART)
			if (mark == "/*") {
				inside = 1
				rest = substr(rest, 3)
			} else if (mark == "//") {
				break
			} else {
				if (mark == "\"")
					found = match(rest, /^"([^"\\]|\\.)*"/)
				else
					found = match(rest,
						/^\047([^\047\\]|\\.)*\047/)
				if (!found)
					RLENGTH = 1
				if (keep_literals || out ~ /^[ \t]*#/)
					out = out substr(rest, 1, RLENGTH)
				else
					out = out mark mark
				rest = substr(rest, RLENGTH + 1)
			}
		}
		if (out ~ /[^ \t]/)
			print FILENAME ":" FNR ":" out
	}' "${@:2}"
}

# report RULE: the lines on stdin, FILE:LINE:text, are violations of RULE.
report() {
	local line

	while IFS= read -r line; do
		violations=$((violations + 1))
		printf '%s: %s\n' "$(tr -s ' \t' ' ' <<<"$line")" "$1"
	done
}

# only WHERE PATTERN RULE: PATTERN (an ERE) in the shim's code outside of the
# files that the ERE WHERE matches.
only() {
	report "$3" < <(grep -vE "^($1):" "$tmp/shim" | grep -E "$2" || :)
}

word() {
	printf '(^|[^A-Za-z0-9_])(%s)($|[^A-Za-z0-9_])' "$1"
}

# The arrows: they point down.
check_includes() {
	local file line text storey target may

	while IFS=: read -r file line text; do
		storey=${file#src/}
		storey=${storey%%/*}
		if [[ -z ${below[$storey]+set} ]]; then
			report "no such storey" <<<"$file:$line:$text"
			continue
		fi
		may="$storey ${below[$storey]} wire"
		[[ $text =~ \"([^\"]*)\" ]] || continue
		target=${BASH_REMATCH[1]}
		case $target in
		config.h) continue ;;
		anonshim.h) [[ $storey == shim ]] && continue ;;
		*/*)
			target=${target%%/*}
			[[ " $may " != *" $target "* ]] || continue
			;;
		esac
		report "$storey/ may include only $may" \
			<<<"$file:$line:$text"
	done < <(grep -E ":$sp#${sp}include" "$tmp/all")
}

check_raw_calls() {
	local rule="only base/sys.c issues raw system calls"
	local enter='(syscall|sysenter|int +.0x80)'
	local in_literal="\"([^\"]*[^A-Za-z_.(])?$enter([^A-Za-z_.(][^\"]*)?\""

	only 'src/base/sys\.c' "(^|[^A-Za-z0-9_.>])syscall$sp\(" "$rule"
	report "$rule" < <(
		grep -v '^src/base/sys\.c:' "$tmp/literals" |
			grep -E "$in_literal" || :)
	report "$rule" < <(
		grep -E "^[^:]*\\.S:[^:]*:([^;]*;)?$sp$enter$sp(;|\$)" \
			"$tmp/shim" || :)
}

# track.c and interpose.c recognise the program's own names, and track.c
# forwards them, in one place, by libc's prctl.
check_naming() {
	local rule="only track/namer.c names memory"
	local files='src/track/(namer|track)\.c|src/interpose/interpose\.c'
	local number='0x53564[dD]41' forward="real\.prctl$sp\(${sp}PR_SET_VMA"

	only 'src/track/namer\.c' "[^.>]prctl$sp\($sp(PR_SET_VMA|$number)" \
		"$rule"
	only "$files" "$(word "PR_SET_VMA|PR_SET_VMA_ANON_NAME|$number")" \
		"$rule"
	report "$rule; the program's own go through real.prctl, once" < <(
		grep -E "^($files):" "$tmp/shim" |
			grep -v '^src/track/namer\.c' |
			grep -E "$(word sys_prctl)|$forward" |
			awk '!/real\.prctl/ || seen++')
}

check_environment() {
	local rule="only env/config.c reads the environment"

	only 'src/env/config\.c' \
		"$(word '(secure_)?getenv|(un)?setenv|putenv|_?_?environ')" \
		"$rule"
	only 'src/env/config\.c' "(^|[^*])\*${sp}envp|envp$sp(\[|\+)" "$rule"
}

check_libraries() {
	local include="#${sp}include$sp"

	only 'src/env/real\.c' "$(word 'dlv?sym|dladdr1?')" \
		"only env/real.c looks symbols up"
	# real.c asks for what is loaded only; dlopen.S hands on
	only 'src/env/real\.[ch]|src/interpose/dlopen\.S' \
		"$(word 'dlm?open|dlclose')" \
		"nobody loads or unloads libraries"
	only 'src/heap/.*' \
		"jemalloc|$(word 'mallocx|sdallocx|mallctl[a-z]*')" \
		"only heap/ uses jemalloc"
	only 'src/track/unwind_[^/:]*\.c' \
		"$include<(libunwind[^>]*|unwind)\.h>" \
		"only track/unwind_*.c includes an unwinder"
	only 'src/track/unwind_[^/:]*\.c' \
		"$(word '_Unwind_[A-Za-z]+|unw_[a-z_]+|backtrace')" \
		"only track/unwind_*.c calls an unwinder"
	only 'src/interpose/fork\.c' \
		"$(word 'pthread_atfork|__register_atfork')" \
		"only shim/fork.c orders the fork handlers"
	# whose prototypes they are, and the FILE of malloc_info
	only 'src/interpose/malloc[a-z_]*\.c|src/env/real\.h' \
		"$include<(stdio|stdlib|malloc|iostream)" \
		"no stdio and no malloc in the shim"
}

check_wire() {
	local file

	for file in src/wire/*.c src/wire/*.S; do
		[[ ! -e $file ]] ||
			report "wire/ holds layouts, no code" <<<"$file:1:"
	done
}

# The library as built: $1.
check_imports() {
	local symbol pattern

	if [[ ! -e $1 ]]; then
		echo "check-layers: not built, imports not checked: $1"
		return
	fi
	while read -r symbol; do
		for pattern in "${wanted[@]}"; do
			# shellcheck disable=SC2053 # a pattern it is
			[[ $symbol != $pattern ]] || continue 2
		done
		report "not among what the shim may take from libc" \
			<<<"libanonshim.so:0:$symbol"
	done < <(nm -D --undefined-only "$1" |
		awk '{ sub(/@.*/, "", $NF); print $NF }')
}

check_tree() {
	local sources library=$2

	cd "$1"
	mapfile -t sources < <(find src -name '*.[chS]' -o -name '*.def' | sort)
	strip_comments 0 "${sources[@]}" >"$tmp/all"
	grep -vE '^src/(tool|wire|man)/' "$tmp/all" >"$tmp/shim"
	strip_comments 1 "${sources[@]}" |
		grep -vE '^src/(tool|wire|man)/' >"$tmp/literals"
	violations=0
	check_includes
	check_raw_calls
	check_naming
	check_environment
	check_libraries
	check_wire
	check_imports "$library"
	if ((violations)); then
		printf 'check-layers: %d violations\n' "$violations"
		return 1
	fi
	printf 'check-layers: %d files, no violation\n' "${#sources[@]}"
}

# plant FILE TEXT RULE: TEXT at the end of FILE is reported, under RULE.
plant() {
	local found

	mkdir -p "$copy/${1%/*}"
	cp -p "$copy/$1" "$tmp/saved" 2>/dev/null || : >"$tmp/saved"
	printf '%s\n' "$2" >>"$copy/$1"
	if found=$("$BASH" "$self" --tree "$copy") ||
		! grep -F "$1:" <<<"$found" | grep -qF -- "$3"; then
		printf 'check-layers: not found in %s: %s\n' "$1" "$2"
		missed=$((missed + 1))
	fi
	planted=$((planted + 1))
	if [[ -s $tmp/saved ]]; then
		cp -p "$tmp/saved" "$copy/$1"
	else
		rm "$copy/$1"
		rmdir "$copy/${1%/*}" 2>/dev/null || :
	fi
}

self_test() {
	copy=$tmp/copy missed=0 planted=0

	mkdir "$copy"
	cp -R "$top/src" "$copy"
	chmod -R u+w "$copy"
	if ! "$BASH" "$self" --tree "$copy" >/dev/null; then
		echo "check-layers: self-test wants a tree without violations"
		return 1
	fi
	plant src/base/fmt.c '#include "env/caps.h"' "may include only"
	plant src/track/name.c '#include "interpose/interpose.h"' \
		"may include only"
	plant src/tool/text.c '#include "base/fmt.h"' "may include only"
	plant src/wire/registry_abi.h '#include "base/sys.h"' "may include only"
	plant src/attic/x.c '#include "base/sys.h"' "no such storey"
	plant src/track/site.c 'long f(void) { return syscall(39); }' \
		"raw system calls"
	# shellcheck disable=SC2016 # assembler
	plant src/track/site.c '__asm__("mov $39, %eax; syscall");' \
		"raw system calls"
	plant src/interpose/syscall.S '	syscall' "raw system calls"
	plant src/track/site.c 'int n = sys_prctl(PR_SET_VMA, 0, 0, 0, 0);' \
		"names memory"
	plant src/track/site.c 'int n = sys_prctl(0x53564d41, 0, 0, 0, 0);' \
		"names memory"
	plant src/track/track.c 'int n = sys_prctl(op, 0, 0, 0, 0);' \
		"the program's own go through"
	plant src/track/track.c 'int n = real.prctl(PR_SET_VMA, 0, 0, 0, 0);' \
		"the program's own go through"
	plant src/base/log.c 'char *s = getenv("HOME");' "environment"
	plant src/base/log.c 'extern char **environ;' "environment"
	plant src/shim/start.c 'char *s = envp[0];' "environment"
	plant src/shim/start.c 'void *p = dlsym(NULL, "x");' "symbols up"
	plant src/shim/start.c 'void *p = dlopen("x", 0);' "loads or unloads"
	plant src/track/own.c '#include <jemalloc/jemalloc.h>' "jemalloc"
	plant src/track/own.c '#include <libunwind.h>' "unwinder"
	plant src/track/own.c 'int n = _Unwind_Backtrace(f, 0);' "unwinder"
	plant src/track/track.c 'int n = pthread_atfork(0, 0, 0);' \
		"fork handlers"
	plant src/base/mem.c '#include <stdio.h>' "no stdio"
	plant src/wire/x.c 'int n;' "no code"
	violations=0
	check_imports "$(type -P bash)" >/dev/null
	((violations)) || missed=$((missed + 1))
	planted=$((planted + 1))
	printf 'check-layers: self-test: %d of %d planted violations found\n' \
		$((planted - missed)) "$planted"
	((missed == 0))
}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
library=${top_builddir:-$top/build}/.libs/libanonshim.so
case ${1:-} in
'')
	(check_tree "$top" "$library")
	self_test
	;;
--tree) check_tree "${2:?directory}" /nonexistent ;;
--self-test) self_test ;;
*)
	echo "usage: check-layers.sh [--tree DIR | --self-test]" >&2
	exit 2
	;;
esac
