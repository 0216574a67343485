// A TCP proxy with faults: node fault_proxy.mjs HOST PORT. Prints the port it listens on and that of its control; one
// line there is one order (refuse, freeze, slow MS, cut, heal), answered with "ok" once it holds.
import net from "node:net";
import process from "node:process";

const [host, port] = process.argv.slice(2);
const pairs = new Set();
let frozen = false, delay = 0, listening = null, address = null;

// Bytes of one direction, in order, each piece held back as long as the delay was when it came.
function forward(from, to) {
  from.on("data", (piece) => {
    if (delay === 0 && !from.held) return write(from, to, piece);
    from.held = (from.held ?? 0) + 1;
    from.pause();
    setTimeout(() => {
      from.held -= 1;
      if (from.held === 0) from.held = undefined;
      write(from, to, piece);
      if (!frozen) from.resume();
    }, delay);
  });
  from.on("end", () => to.end());
  from.on("error", () => to.destroy());
  from.on("close", () => to.destroy());
  if (frozen) from.pause();
}

function write(from, to, piece) {
  if (to.destroyed || to.write(piece)) return;
  from.pause();
  to.once("drain", () => frozen || from.resume());
}

function accept(client) {
  const server = net.connect({ host, port: Number(port), allowHalfOpen: true });
  const pair = [client, server];
  pairs.add(pair);
  for (const end of pair) {
    end.setNoDelay(true);
    end.on("close", () => pairs.delete(pair));
  }
  forward(client, server);
  forward(server, client);
}

function cut() {
  for (const pair of pairs) for (const end of pair) end.resetAndDestroy();
}

function freeze(now) {
  frozen = now;
  for (const pair of pairs) for (const end of pair) frozen ? end.pause() : end.resume();
}

const listen = () => new Promise((ready) => {
  listening = net.createServer({ allowHalfOpen: true, noDelay: true }, accept);
  listening.listen(address?.port ?? 0, "127.0.0.1", () => ready((address = listening.address())));
});

async function refuse() {
  listening?.close();
  listening = null;
  cut();
}

async function obey(order, value) {
  if (order === "refuse") await refuse();
  else if (order === "freeze") freeze(true);
  else if (order === "slow") delay = Number(value);
  else if (order === "cut") cut();
  else if (order === "heal") {
    delay = 0;
    freeze(false);
    if (!listening) await listen();
  } else return `no such order: ${order}`;
  return "ok";
}

await listen();
const control = net.createServer((socket) => {
  let text = "";
  socket.on("error", () => {});
  socket.on("data", async (piece) => {
    text += piece;
    for (let end; (end = text.indexOf("\n")) >= 0;) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      socket.write(`${await obey(...line.split(" "))}\n`);
    }
  });
});
control.listen(0, "127.0.0.1", () => console.log(address.port, control.address().port));
