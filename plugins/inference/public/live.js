/** The dashboard's socket: what the server says every two seconds, and again after it was away. */

const FIRST_MS = 1000;
const LONGEST_MS = 15000;
/** The server speaks every two seconds: after so long a connection is dead, whatever it says of itself. */
const SILENT_MS = 12000;

/**
 * A hidden page lets go of its socket. @param {(message: any) => void} hear @param {(open: boolean) => void} tell
 * @returns {() => void} closes it for good
 */
export function openLive(hear, tell) {
  const url = new URL("/api/v1/dashboard/ws", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  let socket = null;
  let tries = 0;
  let timer = 0;
  let silence = 0;
  let closed = false;

  function connect() {
    clearTimeout(timer);
    if (closed || socket || document.hidden) return;
    const mine = new WebSocket(url);
    socket = mine;
    listen(mine);
    mine.onmessage = (event) => {
      const message = parse(event.data);
      if (mine !== socket || message?.type !== "update") return;
      listen(mine);
      tries = 0;
      tell(true);
      hear(message);
    };
    mine.onclose = () => lost(mine);
  }

  function listen(mine) {
    clearTimeout(silence);
    silence = setTimeout(() => {
      mine.close();
      lost(mine);
    }, SILENT_MS);
  }

  function lost(mine) {
    if (mine !== socket) return;
    clearTimeout(silence);
    socket = null;
    tell(false);
    const wait = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(tries++, 8));
    if (!closed) timer = setTimeout(connect, wait * (0.75 + Math.random() * 0.5));
  }

  function drop() {
    clearTimeout(silence);
    const mine = socket;
    socket = null;
    mine?.close();
  }

  const onVisible = () => {
    if (!document.hidden) return connect();
    clearTimeout(timer);
    drop();
    tell(false);
  };
  document.addEventListener("visibilitychange", onVisible);
  connect();
  return () => {
    closed = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", onVisible);
    drop();
  };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
