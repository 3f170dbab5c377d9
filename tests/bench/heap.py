# SPDX-License-Identifier: BSD-2-Clause
# For scripts/bench heap: objects of many sizes, some short-lived, some not.
import json


class Record:
    def __init__(self, number):
        self.number = number
        self.name = "record %d" % number
        self.tags = [str(number % k) for k in range(2, 7)]
        self.place = {"x": number * 0.5, "y": -number, "at": (number, self)}


def build(count):
    records = [Record(i) for i in range(count)]
    by_name = {record.name: record for record in records}
    return sum(by_name["record %d" % i].number for i in range(0, count, 7))


def churn(count):
    words = {}
    for i in range(count):
        line = " ".join(("w%d" % (i * k % 997) for k in range(8)))
        for word in line.split():
            words[word] = words.get(word, 0) + 1
    return len(words)


def through_json(count):
    rows = [{"id": i, "text": "x" * (i % 90), "list": list(range(i % 9))}
            for i in range(count)]
    return len(json.loads(json.dumps(rows)))


print(build(40000), churn(40000), through_json(20000), build(40000))
