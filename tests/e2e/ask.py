# SPDX-License-Identifier: BSD-2-Clause
"""Whether expressions about a report hold: ask.py REPORT PID EXPRESSION...

In an expression, r is the report's JSON and pid a number; rss(), size(),
vmas(), pss() sum the rows whose fields are as given, name="..." exactly or
name=re("...") by search; kernel(field) reads smaps_rollup, in KiB; names()
are the names that smaps itself shows, with their sizes in KiB; anonymous() is
the RSS of all VMAs that smaps shows without a file; outside() what of the
report's anonymous memory is not [heap], [stack] or malloc's; heap() the RSS of
every heap, heap("live") of the shim's; wrappers matches names of functions that
call malloc for others.
"""

import json
import re as regex
import sys


class re(str):
    """A text to be searched for, not compared with."""


WRAPPERS = (
    "^(_?Py(Mem|Object)_(Raw)?([MC]|Re)alloc|_PyObject_(GC_)?New(Var)?|"
    "PyType_GenericAlloc|_e[mc]alloc.*|_erealloc2?|_estrn?dup|"
    "__zend_([mc]|re)alloc|_safe_.*alloc|z([mc]|re)alloc.*|z?strdup|"
    "sqlite3_?(Mem|Db)?([MC]|Re|[mc]|re)alloc(64|Zero|Raw.*)?|"
    "Perl_safesys.*|CRYPTO_.*alloc|CRYPTO_(mem|str)n?dup|OPENSSL_sk_.*|"
    "uv__.*alloc|.*WithRetry.*|node::(Unchecked)?([MC]|Re)alloc<.*|"
    "palloc.*|MemoryContextAlloc.*|x([mc]|re)alloc|xstrdup|g_.*alloc.*|"
    "(void )?std::vector<.*>::_M_.*)$")


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

    def heap(whose=None):
        return sum(row["rss_kib"] for row in rows(kind="heap")
                   if not whose or row["live_kib"] is not None)

    return {
        "r": r, "pid": pid, "re": re, "rows": rows, "kernel": kernel,
        "heap": heap, "wrappers": re(WRAPPERS),
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
    path, pid, *expressions = sys.argv[1:]
    known = make(path, int(pid))
    for expression in expressions:
        if not eval(f"({expression})", known):  # our own tests' text
            break
    else:
        return 0
    print(f"does not hold: {expression}")
    print(json.dumps({k: v for k, v in known["r"].items() if k != "rows"}))
    for row in known["r"]["rows"]:
        if row["rss_kib"] or row["name"]:
            print(row)
    return 1


sys.exit(main())
