/** Series as the pages of inference read, make and draw them. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as series from "../../../plugins/inference/public/series.js";
import { WORDS } from "../../../plugins/inference/public/words.js";

const FOLDER = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../plugins/inference/public");

test("both languages say everything, with the same places, and every word asked for by name exists", () => {
  assert.deepEqual(Object.keys(WORDS.ko).sort(), Object.keys(WORDS.en).sort());
  const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const key of Object.keys(WORDS.en)) assert.deepEqual(places(WORDS.ko[key]), places(WORDS.en[key]), key);
  const read = readdirSync(FOLDER).filter((name) => name.endsWith(".js") && name !== "words.js").map((name) => readFileSync(path.join(FOLDER, name), "utf8")).join("\n");
  for (const [, key] of read.matchAll(/\bt\("([^"]+)"/g)) assert.ok(key in WORDS.en, key);
  const asked = (key) => read.includes(`"${key}"`) || /^(tab|live|status|source|sample|wrong|priority|deadline|kind|where|m|c|r|e|callback|reason|why)\.|^(points|steps)_/.test(key);
  assert.deepEqual(Object.keys(WORDS.en).filter((key) => !asked(key)), []);
});

test("a sample is the same every time, and every kind is another", () => {
  for (const kind of series.SAMPLES) {
    const made = series.sample(kind, 200);
    assert.deepEqual(made, series.sample(kind, 200));
    assert.equal(series.seriesOf(made).bad, -1);
  }
  assert.equal(new Set(series.SAMPLES.map((kind) => series.sample(kind, 50).join())).size, series.SAMPLES.length);
});

test("reads numbers however they are written, and leaves what is none in its place", () => {
  for (const text of ["1 2.5 -3e2", "1,2.5,-3e2", "[1, 2.5, -3e2]", "1\n2.5\n-3e2\n", "1;2.5;\t-3e2", '{"data":[1,2.5,-300]}']) {
    assert.deepEqual(series.parseText(text), { values: [1, 2.5, -300], bad: -1, at: null }, text);
  }
  assert.deepEqual(series.parseText('[1, "2", 3]'), { values: [1, "2", 3], bad: 1, at: [4, 7] });
  assert.deepEqual(series.parseText("1 NaN 3"), { values: [1, "NaN", 3], bad: 1, at: [2, 5] });
  assert.deepEqual(series.parseText("[1, null]"), { values: [1, null], bad: 1, at: [4, 8] });
  assert.deepEqual(series.parseText("1 1e999").bad, 1);
  assert.deepEqual(series.parseText(""), { values: [], bad: -1, at: null });
  assert.equal(series.parseText('{"data": 5}').wrong, "shape");
  assert.equal(series.parseText("{data").wrong, "json");
});

test("a table gives its columns of numbers by name", () => {
  const columns = series.parseColumns('date,"load, kW",OT\r\n2016-07-01,5.8,30.5\r\n2016-07-02,,"27.1"\r\n');
  assert.deepEqual(columns, [{ name: "load, kW", values: [5.8, null] }, { name: "OT", values: [30.5, 27.1] }]);
  assert.deepEqual(series.parseColumns("1;10\n2;20\n"), [{ name: "1", values: [1, 2] }, { name: "2", values: [10, 20] }]);
  assert.deepEqual(series.parseColumns("a,b\nx,y\n"), []);
});

test("a file is read as what it is", () => {
  const bytes = (text) => new TextEncoder().encode(text).buffer;
  assert.deepEqual(series.parseFile("a.json", bytes("\ufeff[1,2]")).values, [1, 2]);
  assert.deepEqual(series.parseFile("a.csv", bytes("v\n1\n2")).columns, [{ name: "v", values: [1, 2] }]);
  assert.deepEqual(series.parseFile("a.f32", Float32Array.of(1, -2.5).buffer), { values: Float32Array.of(1, -2.5), bad: -1, at: null });
  assert.equal(series.parseFile("a.f32", Float32Array.of(1, NaN).buffer).bad, 1);
  assert.equal(series.parseFile("a.f32", new ArrayBuffer(5)).wrong, "bytes");
  assert.deepEqual([...series.parseFile("nameless", Float32Array.of(0, 1).buffer).values], [0, 1]);
});

test("a model's file says its name and version", () => {
  const file = (header) => {
    const text = new TextEncoder().encode(JSON.stringify(header));
    const bytes = new Uint8Array(8 + text.length + 4);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
    bytes.set(text, 8);
    return bytes.buffer;
  };
  assert.deepEqual(series.modelOf(file({ __metadata__: { maru: '{"name":"a","version":"2","kind":"lstm"}' } })), { name: "a", version: "2" });
  for (const none of [file({}), file({ __metadata__: { maru: "{}" } }), new ArrayBuffer(3), new ArrayBuffer(64)]) assert.equal(series.modelOf(none), null);
});

test("much is sent as float32, little and what is wrong as JSON", () => {
  const little = series.requestOf(series.seriesOf([1, 2]), { model_name: "m", horizon: "", deadline: null });
  assert.deepEqual([little.type, JSON.parse(little.body), little.query], ["application/json", { model_name: "m", data: [1, 2] }, {}]);
  const much = series.requestOf(series.seriesOf(series.sample("trend", 6000)), { model_name: "m", horizon: 5 });
  assert.deepEqual([much.type, much.body.byteLength, much.query], ["application/octet-stream", 24000, { model_name: "m", horizon: 5 }]);
  assert.equal(new DataView(much.body).getFloat32(0, true), Math.fround(series.sample("trend", 1)[0]));
  assert.equal(series.requestOf(series.seriesOf([...series.sample("trend", 6000), "x"]), {}).type, "application/json");
  assert.equal(series.requestOf(series.seriesOf(series.sample("trend", 6000)), { names: ["a"] }).type, "application/json");
  assert.equal(series.requestOf(series.seriesOf(series.sample("trend", 6000)), { metadata: "no object" }).type, "application/json");
  assert.deepEqual([" ", '{"a":1}', "{a}", "3", "null"].map(series.metadataOf), [null, { a: 1 }, "{a}", "3", "null"]);
});

test("a long line keeps its extremes when it is thinned", () => {
  const long = series.sample("noise", 20000);
  long[777] = 1e6;
  const thin = series.thin(long, 600);
  assert.ok(thin.length <= 602 && thin.includes(1e6), String(thin.length));
  assert.deepEqual(series.thin([1, "x", 3], 600), [1, null, 3]);
});

test("an axis has round places", () => {
  assert.deepEqual(series.ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(series.ticks(-47, 24, 4, true), [-40, -20, 0, 20]);
  assert.deepEqual(series.ticks(0, 2, 10, true), [0, 1, 2]);
  assert.deepEqual(series.ticks(5, 5, 4), [5]);
});

test("the forecast begins where the history ends", () => {
  const lines = series.linesOf({ history: [1, 2, 3], forecast: [4, 5], bands: [[3, 3], [4, 5], [5, 7]], quantiles: [0.1, 0.5, 0.9] });
  assert.deepEqual(lines.x, [-2, -1, 0, 1, 2]);
  assert.deepEqual(lines.history, [1, 2, 3, null, null]);
  assert.deepEqual(lines.median, [null, null, 3, 4, 5]);
  assert.deepEqual([lines.low, lines.high], [[null, null, 3, 3, 3], [null, null, 3, 5, 7]]);
  assert.equal(lines.smoothed, null);
  const smooth = series.linesOf({ history: [1, 2], values: [0, 1, 1.5], forecast: [] }, 96);
  assert.deepEqual([smooth.x, smooth.history, smooth.smoothed, smooth.low], [[-1, 0], [1, 2], [1, 1.5], null]);
  assert.equal(series.linesOf({}), null);
  assert.equal(series.linesOf(null), null);
});

test("paths lift the pen where nothing is known, and a flat line lies in the middle", () => {
  const same = (v) => v;
  assert.equal(series.pathOf([1, null, 2, 3], same, same), "M0 1M2 2L3 3");
  assert.equal(series.areaOf([null, 1, 2], [null, 3, 4], same, same), "M1 3L2 4L2 2L1 1Z");
  assert.equal(series.areaOf([1], [2], same, same), "");
  assert.deepEqual(series.rangeOf([[5, 5], null]), [4.75, 5.25]);
  assert.deepEqual(series.rangeOf([]), [0, 1]);
});

test("marks of an axis are alike, tell each other apart, and are short", async () => {
  const { makeKit } = await import("../../../plugins/inference/public/kit.js");
  const format = await import("../../../public/lib/format.js");
  const kit = makeKit({ markup: {}, components: {}, hooks: {}, words: () => (key) => key, format, lang: { value: "en" } });
  const axis = (low, high) => {
    const marks = series.ticks(low, high, 5);
    return marks.map((v) => kit.axis(v, marks[1] - marks[0], Math.max(...marks.map(Math.abs))));
  };
  assert.deepEqual(axis(40, 60), ["40", "45", "50", "55", "60"]);
  assert.deepEqual(axis(4.8, 5.2), ["4.8", "4.9", "5.0", "5.1", "5.2"]);
  assert.deepEqual(axis(-0.02, 0.02), ["-0.02", "-0.01", "0", "0.01", "0.02"]);
  assert.deepEqual(axis(4e25, 6e25), ["4e25", "4.5e25", "5e25", "5.5e25", "6e25"]);
  assert.deepEqual(axis(4e-5, 6e-5), ["4e-5", "4.5e-5", "5e-5", "5.5e-5", "6e-5"]);
  for (const [low, high] of [[100, 100.05], [-9e29, 9e29], [0, 12345], [1e-9, 2e-9]]) {
    const marks = axis(low, high);
    assert.equal(new Set(marks).size, marks.length, marks.join());
    assert.ok(marks.every((mark) => mark.length <= 7), marks.join());
  }
});
