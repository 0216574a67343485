/** Places the nodes of a small graph in layers: longest way from the start, few crossings, no overlap. */

/**
 * @typedef {{from: string, to: string, kind?: string}} Edge
 * @typedef {{name: string, layer: number, slot: number}} Placed       slot: its place in the layer, from 0
 * @typedef {{from: string, to: string, kind?: string, back: boolean, through: {layer: number, slot: number}[]}} Way
 */

const SWEEPS = 6;

/**
 * @param {string[]} names
 * @param {Edge[]} edges      between known names; an edge that would close a circle goes back
 * @param {string} start
 * @returns {{nodes: Placed[], ways: Way[], layers: number, widest: number}}
 */
export function place(names, edges, start) {
  const known = edges.filter((e) => names.includes(e.from) && names.includes(e.to));
  const back = backEdges(names, known, start);
  const layerOf = layersOf(names, known.filter((e) => !back.has(e)));
  const { rows, chains } = withBends(names, known, back, layerOf);
  for (let sweep = 0; sweep < SWEEPS; sweep++) order(rows, chains, sweep % 2 === 0);
  const slotOf = new Map();
  rows.forEach((row) => row.forEach((name, slot) => slotOf.set(name, slot)));
  return {
    nodes: names.map((name) => ({ name, layer: layerOf.get(name), slot: slotOf.get(name) })),
    ways: known.map((e) => ({ ...e, back: back.has(e),
      through: (chains.get(e) ?? []).slice(1, -1).map((bend) => ({ layer: bend.layer, slot: slotOf.get(bend.name) })) })),
    layers: rows.length,
    widest: Math.max(1, ...rows.map((row) => row.length)),
  };
}

/** Edges that lead to a step on the way to where they begin, in the order of a walk from the start. */
function backEdges(names, edges, start) {
  const back = new Set();
  const state = new Map();
  const walk = (name) => {
    state.set(name, "open");
    for (const e of edges) {
      if (e.from !== name) continue;
      if (state.get(e.to) === "open") back.add(e);
      else if (!state.has(e.to)) walk(e.to);
    }
    state.set(name, "done");
  };
  for (const name of [start, ...names]) if (names.includes(name) && !state.has(name)) walk(name);
  return back;
}

function layersOf(names, edges) {
  const layer = new Map(names.map((name) => [name, 0]));
  for (let round = 0; round < names.length; round++) {
    let moved = false;
    for (const e of edges) {
      if (layer.get(e.to) <= layer.get(e.from)) {
        layer.set(e.to, layer.get(e.from) + 1);
        moved = true;
      }
    }
    if (!moved) break;
  }
  return layer;
}

/** Rows of names, with a bend in every layer that a long edge passes. */
function withBends(names, edges, back, layerOf) {
  const rows = Array.from({ length: Math.max(0, ...layerOf.values()) + 1 }, () => []);
  const chains = new Map();
  for (const name of names) rows[layerOf.get(name)].push(name);
  edges.forEach((e, i) => {
    if (back.has(e)) return;
    const chain = [{ name: e.from, layer: layerOf.get(e.from) }];
    for (let layer = layerOf.get(e.from) + 1; layer < layerOf.get(e.to); layer++) {
      const bend = { name: `${i} ${layer}`, layer };
      rows[layer].push(bend.name);
      chain.push(bend);
    }
    chain.push({ name: e.to, layer: layerOf.get(e.to) });
    chains.set(e, chain);
  });
  return { rows, chains };
}

/** Each row by the mean of its neighbours' slots in the row before it (down) or behind it. */
function order(rows, chains, down) {
  const neighbours = new Map();
  for (const chain of chains.values()) {
    for (let i = 1; i < chain.length; i++) {
      const [one, other] = down ? [chain[i], chain[i - 1]] : [chain[i - 1], chain[i]];
      if (!neighbours.has(one.name)) neighbours.set(one.name, []);
      neighbours.get(one.name).push(other.name);
    }
  }
  const indices = down ? rows.keys() : [...rows.keys()].reverse();
  for (const index of indices) {
    const near = rows[index + (down ? -1 : 1)] ?? [];
    const mean = new Map(rows[index].map((name, slot) => {
      const slots = (neighbours.get(name) ?? []).map((other) => near.indexOf(other)).filter((s) => s >= 0);
      return [name, slots.length ? slots.reduce((a, b) => a + b, 0) / slots.length : slot];
    }));
    rows[index] = rows[index].map((name, slot) => [mean.get(name), slot, name]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((entry) => entry[2]);
  }
}

/**
 * What is drawn of a run: nodes with the state of their last step and how often they ran, and edges.
 * @param {any} run   as GET /admin/v1/workflows/{id} gives it
 * @returns {{names: string[], edges: Edge[], start: string, last: Map<string, any>, counts: Map<string, {all: number, done: number, failed: number}>}}
 */
export function drawn(run) {
  const graph = run.shape === "graph";
  const nameOf = (step) => nodeName(run, step);
  const names = [];
  const edges = [];
  const last = new Map();
  const counts = new Map();
  const add = (name) => names.includes(name) || names.push(name);
  const link = (from, to, kind) => edges.some((e) => e.from === from && e.to === to) || edges.push({ from, to, kind });
  for (const step of run.graph?.steps ?? []) add(step.name);
  const known = new Set([...names, ...(run.steps ?? []).map((s) => s.name)]);
  (run.steps ?? []).filter((step) => !isItem(run, step)).forEach((step) => {
    const name = nameOf(step);
    add(name);
    last.set(name, worse(last.get(name), step, graph));
    const c = counts.get(name) ?? { all: 0, done: 0, failed: 0 };
    counts.set(name, { all: c.all + 1, done: c.done + (step.state === "done"), failed: c.failed + (step.state === "failed") });
    for (const to of graph && step.next ? step.next : []) if (known.has(to)) link(name, to, "went");
    if (graph && step.from) link(step.from, name, "went");
  });
  for (const bundle of run.bundles ?? []) {
    add(bundle.step);
    last.set(bundle.step, { ...bundle, state: bundleState(bundle) });
    counts.set(bundle.step, { all: bundle.total, done: bundle.done, failed: bundle.failed, items: true });
    if (bundle.from) link(bundle.from, bundle.step, "went");
  }
  for (const step of run.graph?.steps ?? []) {
    for (const to of step.next) link(step.name, to, "may");
    for (const group of step.join) for (const from of group.split(" ")) link(from, step.name, "may");
    if (step.on_error) link(step.name, step.on_error, "error");
  }
  if (!graph) linkList(run, link);
  return { names, edges, start: run.graph?.start ?? names[0] ?? "", last, counts };
}

/** One of many that run:each made: counted in run.bundles. */
export const isItem = (run, step) => run.shape === "graph" && step.role === "member";

/** What a bundle is as a step. @param {any} bundle @returns {string} */
export function bundleState(bundle) {
  const over = bundle.done + bundle.failed + bundle.cancelled;
  if (over < bundle.total) return bundle.running > 0 ? "running" : ["ready", "delayed", "held"].find((state) => bundle[state] > 0) ?? "ready";
  return bundle.failed > 0 ? "failed" : bundle.cancelled > 0 ? "cancelled" : "done";
}

function nodeName(run, step) {
  if (run.shape === "graph") return step.name;
  if (run.shape === "chain" && step.role === "member") return `${step.n} ${step.name}`;
  return step.role === "member" ? step.name : `${step.name} · ${step.role}`;
}

function linkList(run, link) {
  const steps = run.steps ?? [];
  const members = steps.filter((s) => s.role === "member");
  const body = steps.find((s) => s.role === "body");
  const wrong = steps.find((s) => s.role === "on_error");
  if (run.shape === "chain") members.slice(1).forEach((s, i) => link(nodeName(run, members[i]), nodeName(run, s), s.state === "planned" ? "may" : "went"));
  for (const s of members) {
    if (body) link(nodeName(run, s), nodeName(run, body), body.state === "planned" ? "may" : "went");
    if (wrong && s.state === "failed") link(nodeName(run, s), nodeName(run, wrong), "error");
  }
}

const RANK = ["done", "planned", "cancelled", "ready", "delayed", "held", "waiting", "running", "failed"];

/** Of a graph the newest step says what a node is; of many members the one to look at. */
function worse(before, step, graph) {
  if (!before || graph) return step;
  return RANK.indexOf(step.state) >= RANK.indexOf(before.state) ? step : before;
}
