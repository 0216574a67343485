import assert from "node:assert/strict";
import { test } from "node:test";
import { drawn, place } from "../../../public/lib/layers.js";

const edge = (text) => ({ from: text[0], to: text[1] });

test("a step stands behind every step that leads to it", () => {
  const { nodes, layers, widest, ways } = place(["a", "b", "c", "d"], ["ab", "ac", "bd", "cd", "ad"].map(edge), "a");
  const layer = Object.fromEntries(nodes.map((n) => [n.name, n.layer]));
  assert.deepEqual(layer, { a: 0, b: 1, c: 1, d: 2 });
  assert.equal(layers, 3);
  assert.equal(widest, 3, "the long way from a to d has a place of its own beside b and c");
  assert.equal(ways.find((w) => w.from === "a" && w.to === "d").through.length, 1);
  const slots = new Set([...nodes.filter((n) => n.layer === 1).map((n) => n.slot), ways[4].through[0].slot]);
  assert.equal(slots.size, 3, "no two in one place");
});

test("a loop goes back and lengthens nothing", () => {
  const { nodes, ways } = place(["a", "b", "c"], ["ab", "bc", "ca", "bb"].map(edge), "a");
  assert.deepEqual(nodes.map((n) => n.layer), [0, 1, 2]);
  assert.deepEqual(ways.filter((w) => w.back).map((w) => w.from + w.to), ["ca", "bb"]);
});

test("edges do not cross where they need not", () => {
  const { nodes } = place(["s", "a", "b", "x", "y"], ["sa", "sb", "ay", "bx"].map(edge), "s");
  const slot = Object.fromEntries(nodes.map((n) => [n.name, n.slot]));
  assert.equal(Math.sign(slot.a - slot.b), Math.sign(slot.y - slot.x));
});

test("what a run's steps say is drawn over what is declared", () => {
  const run = { shape: "graph", graph: { start: "ask", steps: [{ name: "ask", next: ["yes", "no"], join: [], on_error: "no" }, { name: "no", next: [], join: [], on_error: null },
    { name: "yes", next: [], join: [], on_error: null }] },
  steps: [{ n: 1, name: "ask", state: "done", from: null }, { n: 2, name: "ask", state: "done", from: "ask" }, { n: 3, name: "yes", state: "running", from: "ask" }] };
  const { names, edges, last, counts, start } = drawn(run);
  assert.deepEqual(names, ["ask", "no", "yes"]);
  assert.equal(start, "ask");
  assert.deepEqual(edges.map((e) => `${e.from} ${e.to} ${e.kind}`), ["ask ask went", "ask yes went", "ask no may"]);
  assert.equal(last.get("yes").state, "running");
  assert.equal(counts.get("ask").all, 2);
});

test("a chord's members are one node that shows the worst of them", () => {
  const member = (n, state) => ({ n, name: "p.k", role: "member", state });
  const { names, edges, last, counts } = drawn({ shape: "chord", steps: [member(1, "done"), member(2, "failed"), member(3, "done"), { n: 4, name: "p.all", role: "body", state: "planned" }] });
  assert.deepEqual(names, ["p.k", "p.all · body"]);
  assert.deepEqual(edges, [{ from: "p.k", to: "p.all · body", kind: "may" }]);
  assert.equal(last.get("p.k").state, "failed");
  assert.deepEqual(counts.get("p.k"), { all: 3, done: 2, failed: 1 });
});
