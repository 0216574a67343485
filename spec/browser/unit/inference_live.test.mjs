/** The socket of the inference pages: it comes back when it closes, when it goes silent, and when one looks again. */
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
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

beforeEach(() => {
  sockets = [];
  heard = [];
  told = [];
  globalThis.WebSocket = Socket;
  globalThis.location = { href: "https://maru.example/" };
  globalThis.document = { hidden: false, addEventListener: (_, f) => { look = f; }, removeEventListener() {} };
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
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
  mock.timers.tick(1250);
  assert.equal(sockets.length, 2);
  sockets[1].onclose();
  mock.timers.tick(1400);
  assert.equal(sockets.length, 2);
  mock.timers.tick(1100);
  assert.equal(sockets.length, 3);
  sockets[2].onclose();
  stop();
  mock.timers.tick(60000);
  assert.equal(sockets.length, 3);
});

test("a socket that has gone silent is left; one that speaks is kept", () => {
  start();
  for (let n = 1; n <= 20; n++) {
    mock.timers.tick(2000);
    sockets[0].say(update(n));
  }
  assert.equal(sockets.length, 1);
  mock.timers.tick(12000);
  assert.ok(sockets[0].closed);
  assert.equal(told.at(-1), false);
  mock.timers.tick(1250);
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
  mock.timers.tick(60000);
  assert.equal(sockets.length, 1);
  document.hidden = false;
  look();
  assert.equal(sockets.length, 2);
});
