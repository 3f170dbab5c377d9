# SPDX-License-Identifier: BSD-2-Clause
"""Whether an expression about a report holds: ask.py REPORT PID EXPRESSION.

In the expression, r is the report's JSON and pid a number; rss(), size(),
vmas(), pss() sum the rows whose fields are as given, name="..." exactly or
name=re("...") by search; kernel(field) reads smaps_rollup, in KiB; names()
are the names that smaps itself shows, with their sizes in KiB; anonymous() is
the RSS of all VMAs that smaps shows without a file; outside() what of the
report's anonymous memory is not [heap], [stack] or malloc's.
"""

import json
import re as regex
import sys


class re(str):
    """A text to be searched for, not compared with."""


def match(value, wanted):
    if isinstance(wanted, re):
        return regex.search(wanted, value) is not None
    return value == wanted


def make(path, pid):
    with open(path, encoding="utf-8") as file:
        r = json.load(file)

    def rows(**where):
        return [row for row in r["rows"]
                if all(match(row[k], v) for k, v in where.items())]

    def summing(field):
        return lambda **where: sum(row[field] for row in rows(**where))

    def kernel(field):
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise KeyError(field)

    def outside():
        malloc = sum(row["rss_kib"] for row in rows(site=re("^malloc")))
        return r["anonymous"]["rss_kib"] - r["heap_stack_kib"] - malloc

    return {
        "r": r, "pid": pid, "re": re, "rows": rows, "kernel": kernel,
        "rss": summing("rss_kib"), "size": summing("size_kib"),
        "pss": summing("pss_kib"), "vmas": summing("vmas"),
        "swap": summing("swap_kib"), "outside": outside,
        "names": lambda: names(pid), "anonymous": lambda: anonymous(pid),
    }


def names(pid):
    """{name: KiB} of what the kernel shows as [anon:...]."""
    found = {}
    head = regex.compile(r"([0-9a-f]+)-([0-9a-f]+) .*?"
                         r"\[anon(?:_shmem)?:(.*)\]$")
    with open(f"/proc/{pid}/smaps", encoding="utf-8",
              errors="replace") as file:
        for line in file:
            m = head.match(line)
            if m:
                kib = (int(m[2], 16) - int(m[1], 16)) // 1024
                found[m[3]] = found.get(m[3], 0) + kib
    return found


def anonymous(pid):
    """KiB resident in what no file on disk stands for."""
    total, counts = 0, False
    head = regex.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ (\d+) *(.*)$")
    kernels = regex.compile(r"\[v(dso|var|syscall)")
    with open(f"/proc/{pid}/smaps", encoding="utf-8",
              errors="replace") as file:
        for line in file:
            m = head.match(line)
            if m:
                counts = (m[2].startswith(("/dev/zero", "[anon_shmem:"))
                          or m[1] == "0"
                          and not kernels.match(m[2]))
            elif counts and line.startswith("Rss:"):
                total += int(line.split()[1])
    return total


def main():
    path, pid, expression = sys.argv[1:]
    known = make(path, int(pid))
    if eval(f"({expression})", known):  # our own tests' text
        return 0
    print(json.dumps({k: v for k, v in known["r"].items() if k != "rows"}))
    for row in known["r"]["rows"]:
        if row["rss_kib"] or row["name"]:
            print(row)
    return 1


sys.exit(main())
