/** The event stream's behaviour when the server is there, unwilling, gone and back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openStream } from "../../../public/lib/stream.js";

/** A stage of fake sources and a fake clock: `later` collects what was to run. */
function stage(alive) {
  const sources = [];
  const waiting = [];
  class Source {
    constructor() {
      this.listeners = {};
      this.closed = false;
      sources.push(this);
    }
    addEventListener(name, f) {
      this.listeners[name] = f;
    }
    close() {
      this.closed = true;
    }
  }
  const host = { Source, alive: async () => alive.value, setTimeout: (f, ms) => waiting.push([f, ms]), now: () => 42 };
  const stream = openStream("/x", ["live"], host);
  const tick = () => new Promise((done) => setImmediate(done));
  return { stream, sources, waiting, tick, last: () => sources[sources.length - 1] };
}

test("opens, syncs, delivers parsed events and ignores broken ones", () => {
  const { stream, last } = stage({ value: true });
  const heard = [];
  stream.on("sync", () => heard.push("sync"));
  stream.on("live", (data) => heard.push(data.n));
  last().onopen();
  last().listeners.live({ data: '{"n":1}' });
  last().listeners.live({ data: "{" });
  assert.deepEqual(heard, ["sync", 1]);
  assert.equal(stream.state.value, "open");
});

test("is gone when nothing answers, waits longer each time, and comes back", async () => {
  const alive = { value: false };
  const { stream, sources, waiting, tick, last } = stage(alive);
  last().onopen();
  for (let n = 0; n < 3; n++) {
    last().onerror();
    await tick();
    assert.equal(stream.state.value, "gone");
    assert.ok(last().closed);
    waiting.pop()[0]();
  }
  assert.equal(sources.length, 4);
  let synced = 0;
  stream.on("sync", () => synced++);
  last().onopen();
  assert.equal(stream.state.value, "open");
  assert.equal(synced, 1);
});

test("polls when the server answers but has no stream: quickly at first, then every 15 seconds", async () => {
  const { stream, tick, last, waiting } = stage({ value: true });
  let synced = 0;
  stream.on("sync", () => synced++);
  const delays = [];
  for (let i = 0; i < 6; i++) {
    last().onerror();
    await tick();
    assert.equal(stream.state.value, "polling");
    const [again, delay] = waiting.pop();
    delays.push(delay);
    again();
  }
  assert.equal(synced, 6);
  assert.ok(delays.slice(0, 4).every((delay) => delay < 5000), `${delays}`);
  assert.deepEqual(delays.slice(4), [15000, 15000]);
});

test("asking to retry while open checks the server and notices its silent death", async () => {
  const alive = { value: true };
  const { stream, tick, last } = stage(alive);
  last().onopen();
  await stream.retry();
  assert.equal(stream.state.value, "open");
  alive.value = false;
  await stream.retry();
  await tick();
  assert.equal(stream.state.value, "gone");
});

test("a closed stream stays closed", async () => {
  const { stream, sources, tick, last } = stage({ value: true });
  stream.close();
  last().onerror();
  await tick();
  stream.retry();
  assert.equal(sources.length, 1);
});
