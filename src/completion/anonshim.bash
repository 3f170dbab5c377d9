# SPDX-License-Identifier: BSD-2-Clause
# bash completion of anonshim(1).

_anonshim_pids()
{
	local pid
	for pid in /proc/[0-9]*; do
		[[ -r $pid/maps ]] && printf '%s\n' "${pid#/proc/}"
	done 2>/dev/null
}

_anonshim_options()
{
	anonshim doctor --json 2>/dev/null |
		sed -n 's/^ *{"key": "\([^"]*\)".*/\1=/p'
}

_anonshim_reply()
{
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

# The words of a command after `anonshim run`.
_anonshim_run()
{
	local cur=$1 prev=$2 i

	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-o | --option) ((i++)) ;;
		--) ((i++)); break ;;
		-*) ;;
		*) break ;;
		esac
		# COMP_WORDS is split at the = of key=value.
		[[ ${COMP_WORDS[i + 1]} == = ]] && ((i += 2))
	done
	if ((i < COMP_CWORD)) && declare -F _command_offset >/dev/null; then
		_command_offset "$i"
		return
	fi
	case $prev in
	-o | --option)
		_anonshim_reply "$(_anonshim_options)" "$cur"
		compopt -o nospace
		return
		;;
	esac
	case $cur in
	-*) _anonshim_reply "-o --option --help --" "$cur" ;;
	*) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
	esac
}

_anonshim()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]}

	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		_anonshim_reply "run report explain doctor --help --version" \
			"$cur"
		return
	fi
	case $prev in
	--by)
		_anonshim_reply "owner site kind name" "$cur"
		return
		;;
	--core)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	case $command in
	run) _anonshim_run "$cur" "$prev" ;;
	report)
		if [[ $cur == -* ]]; then
			_anonshim_reply "--by --core --json --tsv --help" "$cur"
		else
			_anonshim_reply "$(_anonshim_pids)" "$cur"
		fi
		;;
	explain)
		if [[ $cur == -* ]]; then
			_anonshim_reply "--core --tsv --help" "$cur"
		elif [[ $prev == explain ]]; then
			_anonshim_reply "$(_anonshim_pids)" "$cur"
		fi
		;;
	doctor) _anonshim_reply "--json --help" "$cur" ;;
	esac
}

complete -F _anonshim anonshim
