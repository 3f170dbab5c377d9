# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# Reports on core files.

pid=0

# ./core, of dumps_core; core_pattern is left as it is.
dump() {
	local pattern

	pattern=$(cat /proc/sys/kernel/core_pattern)
	[[ $pattern == core* ]] || skip "core_pattern is $pattern"
	ulimit -c unlimited 2>/dev/null || skip "no core files"
	status "$@" 2>/dev/null
	equal "$status" 134 "exit status of what aborts"
	mv core* core 2>/dev/null || :
	[[ -s core ]] || skip "no core file was written"
}

report_core() {
	"$anonshim" report --core core --json --by name >report.json
}

test_names() {
	dump with '' "$victims/dumps_core"
	report_core
	holds "rss(name='dumps_core: mmap site_dump') == 148"
	holds "r['source'] == 'registry' and r['total']['pss_kib'] is None"
	holds "r['total']['rss_kib'] == rss()"
	holds "r['unattributed_kib'] == 0"
	"$anonshim" explain --core core "dumps_core: mmap site_dump" >explained
	contains explained main
	"$anonshim" report --core core >table
	contains table DUMPED
}

test_without_the_shim() {
	dump without "$victims/dumps_core"
	report_core 2>err
	holds "rss(name='dumps_core: mmap site_dump') == 0"
	holds "r['unattributed_kib'] >= 148"
	contains err "anonshim"
}

# Whatever is cut off, it ends with a report or one line.
test_truncated() {
	local bytes size

	dump with '' "$victims/dumps_core"
	size=$(stat -c %s core)
	for bytes in 0 1 16 63 64 100 1000 4096 10000 $((size / 4)) \
		$((size / 2)) $((size - 4096)) $((size - 1)); do
		head -c "$bytes" core >truncated
		status "$anonshim" report --core truncated >table 2>err
		((status == 0 || status == 1)) ||
			fail "exit status $status, cut at $bytes"
		((status == 0)) || one_line err
		((status == 1 || bytes > 1000)) ||
			fail "a report from $bytes bytes"
	done
	# what is missing of memory is told
	head -c $((size / 2)) core >truncated
	status "$anonshim" report --core truncated >table 2>err
	grep -qi 'trunc\|cut\|short\|incomplete' err ||
		{ cat err; fail "nothing said of a truncated core"; }
}

test_spoiled() {
	local i

	dump with '' "$victims/dumps_core"
	for ((i = 0; i < $(less 10 60); i++)); do
		"$python" -IS - "$i" <<-'EOF'
			import random, sys
			random.seed(int(sys.argv[1]))
			data = bytearray(open("core", "rb").read())
			low = 64 if random.random() < .5 else 0
			for _ in range(200):
			    at = random.randrange(low, min(len(data), 16384))
			    data[at] = random.randrange(256)
			open("spoiled", "wb").write(data)
		EOF
		status timeout 20 "$anonshim" report --core spoiled \
			>table 2>err
		((status == 0 || status == 1)) ||
			{ cp spoiled /tmp/; fail "status $status, seed $i"; }
	done
}

test_no_core_at_all() {
	local file

	echo text >text
	mkdir directory
	for file in text directory missing "$anonshim" /dev/null; do
		status "$anonshim" report --core "$file" >table 2>err
		equal "$status" 1 "exit status for $file"
		one_line err
	done
}
