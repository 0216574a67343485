/** The socket of the inference pages: it comes back when it closes, when it goes silent, and when one looks again. */
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { openLive } from "../../../plugins/inference/public/live.js";

let sockets;
let look;
let heard;
let told;

class Socket {
  constructor(url) {
    this.url = String(url);
    sockets.push(this);
  }
  close() { this.closed = true; }
  say(message) { this.onmessage({ data: JSON.stringify(message) }); }
}

/** Time that only tick() moves. What node:test has for that differs between its versions. */
let now;
let timers;

function tick(ms) {
  for (const end = now + ms; ; ) {
    const due = timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
    now = due?.at ?? end;
    if (!due) return;
    timers.splice(timers.indexOf(due), 1);
    due.run();
  }
}

beforeEach(() => {
  now = 0;
  timers = [];
  globalThis.setTimeout = (run, ms) => {
    const timer = { run, at: now + ms };
    timers.push(timer);
    return timer;
  };
  globalThis.clearTimeout = (timer) => {
    timers = timers.filter((each) => each !== timer);
  };
  sockets = [];
  heard = [];
  told = [];
  globalThis.WebSocket = Socket;
  globalThis.location = { href: "https://maru.example/" };
  globalThis.document = { hidden: false, addEventListener: (_, f) => { look = f; }, removeEventListener() {} };
});

const start = () => openLive((message) => heard.push(message.n), (open) => told.push(open));
const update = (n) => ({ type: "update", n });

test("hears updates of its own origin, and nothing else", () => {
  const stop = start();
  assert.equal(sockets[0].url, "wss://maru.example/api/v1/dashboard/ws");
  sockets[0].say({ type: "other", n: 0 });
  sockets[0].onmessage({ data: "no json" });
  sockets[0].say(update(1));
  assert.deepEqual([heard, told], [[1], [true]]);
  stop();
  assert.ok(sockets[0].closed);
});

test("a closed socket is opened again, later each time; stopping ends that", () => {
  const stop = start();
  sockets[0].onclose();
  assert.deepEqual(told, [false]);
  tick(1250);
  assert.equal(sockets.length, 2);
  sockets[1].onclose();
  tick(1400);
  assert.equal(sockets.length, 2);
  tick(1100);
  assert.equal(sockets.length, 3);
  sockets[2].onclose();
  stop();
  tick(60000);
  assert.equal(sockets.length, 3);
});

test("a socket that has gone silent is left; one that speaks is kept", () => {
  start();
  for (let n = 1; n <= 20; n++) {
    tick(2000);
    sockets[0].say(update(n));
  }
  assert.equal(sockets.length, 1);
  tick(12000);
  assert.ok(sockets[0].closed);
  assert.equal(told.at(-1), false);
  tick(1250);
  assert.equal(sockets.length, 2);
  sockets[0].say(update(99));
  assert.ok(!heard.includes(99));
});

test("a hidden page lets go and comes back when it is looked at", () => {
  start();
  sockets[0].say(update(1));
  document.hidden = true;
  look();
  assert.deepEqual([sockets[0].closed, told.at(-1)], [true, false]);
  tick(60000);
  assert.equal(sockets.length, 1);
  document.hidden = false;
  look();
  assert.equal(sockets.length, 2);
});
