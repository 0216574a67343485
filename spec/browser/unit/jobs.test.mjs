import assert from "node:assert/strict";
import { test } from "node:test";
import { bundle, ceiling, clockChanges, completions, curve, formatSearch, isEveryJob, offsetAt, parseSearch, rowsToDraw } from "../../../public/lib/jobs.js";

test("a search is read and written", () => {
  assert.deepEqual(parseSearch("queue:mail  timed out state:dead"), { queue: "mail", kind: "", state: "dead", q: "timed out" });
  assert.equal(formatSearch(parseSearch(" timed queue:mail out state:dead")), "queue:mail state:dead timed out");
  assert.deepEqual(parseSearch("state:asleep kind:a.b kind:c.d at:12"), { queue: "", kind: "c.d", state: "", q: "at:12" });
  assert.ok(isEveryJob(parseSearch("  ")));
  assert.ok(!isEveryJob(parseSearch("x")));
});

test("the last word of a search is completed", () => {
  const known = { queue: ["mail", "main", "low"], kind: ["a.b"], state: ["dead"] };
  assert.deepEqual(completions("err queue:ma", known), ["err queue:mail ", "err queue:main "]);
  assert.deepEqual(completions("qu", known), ["queue:"]);
  assert.deepEqual(completions("queue:low ", known), ["queue:low kind:", "queue:low state:"]);
  assert.deepEqual(completions("state:dead", known), []);
  assert.deepEqual(completions("at:12", known), []);
});

test("only the rows in sight are drawn", () => {
  assert.deepEqual(rowsToDraw(0, 400, 40, 100000, 2), [0, 12]);
  assert.deepEqual(rowsToDraw(4000, 400, 40, 100000, 2), [98, 112]);
  assert.deepEqual(rowsToDraw(4000000, 400, 40, 100000, 2), [99998, 100000]);
  assert.deepEqual(rowsToDraw(0, 400, 40, 3), [0, 3]);
  assert.deepEqual(rowsToDraw(900, 400, 40, 0), [0, 0]);
});

test("values are bundled from the end", () => {
  assert.deepEqual(bundle([1, 2, 3, 4, 5], 2), [1, 5, 9]);
  assert.deepEqual(bundle([null, 2, null, null, 5], 2, "most"), [null, 2, 5]);
  assert.deepEqual(bundle([], 2), []);
});

test("a curve fills its box and breaks where nothing is known", () => {
  assert.equal(curve([0, 10], 100, 50, 10), "M0.0 50.0L100.0 0.0");
  assert.equal(curve([1, null, 1], 100, 50, 2), "M0.0 25.0h0M100.0 25.0h0");
  assert.equal(curve([0, 0], 100, 50, 0), "M0.0 50.0L100.0 50.0");
  assert.deepEqual([0, 3, 7, 12, 200, 0.04].map(ceiling), [1, 5, 10, 20, 200, 0.05]);
});

test("a clock that is set is noticed", () => {
  assert.equal(offsetAt("2026-01-10T00:00:00Z", "Asia/Seoul"), 540);
  assert.ok(Number.isNaN(offsetAt("2026-01-10T00:00:00Z", "Mars/Olympus")));
  const spring = ["2026-03-27T01:30:00Z", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
  assert.deepEqual(clockChanges(spring, "Europe/Berlin"), [0, 0, 60, 0]);
  assert.deepEqual(clockChanges(spring, "Asia/Seoul"), [0, 0, 0, 0]);
});
