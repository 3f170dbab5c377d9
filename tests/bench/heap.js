// SPDX-License-Identifier: BSD-2-Clause
// For scripts/bench heap: objects, strings, buffers, and compiled code.
"use strict";

function objects(count) {
	const byName = new Map();

	for (let i = 0; i < count; i++)
		byName.set("record " + i, {
			number: i,
			tags: [i % 2, i % 3, i % 5].map(String),
		});
	return byName.size;
}

function buffers(count) {
	const live = new Array(500).fill(null);
	let sum = 0;

	for (let i = 0; i < count; i++) {
		live[i % 500] = Buffer.alloc(64 + (i * 7919) % 16384, i & 255);
		sum += live[(i * 31) % 500]?.length ?? 0;
	}
	return sum;
}

function texts(count) {
	const rows = [];

	for (let i = 0; i < count; i++)
		rows.push({ id: i, text: "x".repeat(i % 90), list: [i, i + 1] });
	return JSON.parse(JSON.stringify(rows)).length;
}

function compiled(count) {
	let sum = 0;

	for (let i = 0; i < count; i++)
		sum += new Function("a", `let s = a;
			for (let i = 0; i < 50; i++) s = (s * ${i} + i) % 9973;
			return s;`)(i);
	return sum;
}

console.log(objects(100000), buffers(60000), texts(60000), compiled(3000));
