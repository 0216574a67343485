import assert from "node:assert/strict";
import { test } from "node:test";
import { guess, timeColumns, toBars, toLines } from "../../../public/lib/pivot.js";

const answer = {
  columns: ["hour", "platform", "viewers"], types: ["time", "text", "number"],
  rows: [[20, "a", 2], [10, "a", 1], [20, "b", 9], [null, "b", 7], [10, null, 3], [20, "a", 4]],
};

test("lines stand over one ascending x, the largest first, and gaps are null", () => {
  assert.deepEqual(toLines(answer, { x: 0, y: 2, by: 1 }), {
    x: [10, 20], left: 0,
    lines: [{ name: "b", values: [null, 9] }, { name: "a", values: [1, 4] }, { name: "NULL", values: [3, null] }],
  });
});

test("without a column to divide by there is one line of the column's name", () => {
  assert.deepEqual(toLines(answer, { x: 0, y: 2, by: -1 }).lines.map((line) => line.name), ["viewers"]);
});

test("more lines than can be told apart are counted, not drawn", () => {
  const many = { ...answer, rows: Array.from({ length: 20 }, (_, i) => [1, `n${i}`, i]) };
  const drawn = toLines(many, { x: 0, y: 2, by: 1 });
  assert.equal(drawn.lines.length, 12);
  assert.equal(drawn.left, 8);
  assert.equal(drawn.lines[0].name, "n19");
});

test("bars keep the order of the rows and add up equal names", () => {
  assert.deepEqual(toBars(answer, { x: 1, y: 2 }), { names: ["a", "b", "NULL"], values: [7, 16, 3], left: 0 });
});

test("a first choice is time by number and name, else names by number, else none", () => {
  assert.deepEqual(guess(answer), { kind: "line", x: 0, y: 2, by: 1 });
  assert.deepEqual(guess({ columns: ["k", "n"], types: ["text", "integer"], rows: [["a", 1]] }), { kind: "bar", x: 0, y: 1, by: -1 });
  assert.equal(guess({ columns: ["k"], types: ["text"], rows: [["a"]] }), null);
  assert.equal(guess({ columns: ["k", "n"], types: ["text", "number"], rows: [] }), null);
});

test("whole numbers that look like seconds since 1970 may be time", () => {
  assert.deepEqual(timeColumns({ columns: ["at", "n"], types: ["integer", "integer"], rows: [[1.7e9, 5], [null, 6]] }), [0]);
});
