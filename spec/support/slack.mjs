// Slack's incoming webhooks: a stand-in (the real one cannot be had) that answers as facts/services.md §5 says it does.
// node slack.mjs DIR: DIR/port says where; each body goes to DIR/N.json with its path and time.
//   /services/ok       200 "ok"
//   /services/limited  429 with Retry-After: 1 for the first, then 200 "ok"
//   /services/gone     404 "channel_not_found"
//   /services/broken   500 "rollup_error" for the first, then 200 "ok"
import { createServer } from "node:http";
import { renameSync, writeFileSync } from "node:fs";

const dir = process.argv[2];
const seen = {};
let count = 0;

function answer(path) {
  seen[path] = (seen[path] || 0) + 1;
  if (path === "/services/limited" && seen[path] === 1) return [429, "rate_limited", { "retry-after": "1" }];
  if (path === "/services/broken" && seen[path] === 1) return [500, "rollup_error", {}];
  return path === "/services/gone" ? [404, "channel_not_found", {}] : [200, "ok", {}];
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    let body;
    try {
      body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    } catch {
      response.writeHead(400, { "content-type": "text/plain" }).end("invalid_payload");
      return;
    }
    const [status, text, headers] = body.text ? answer(request.url) : [400, "no_text", {}];
    count += 1;
    writeFileSync(`${dir}/new`, JSON.stringify({ path: request.url, status, at: Date.now(), body,
      type: request.headers["content-type"] }));
    renameSync(`${dir}/new`, `${dir}/${count}.json`);
    response.writeHead(status, { "content-type": "text/plain", ...headers }).end(text);
  });
});
server.listen(0, "127.0.0.1", () => {
  writeFileSync(`${dir}/port.new`, String(server.address().port));
  renameSync(`${dir}/port.new`, `${dir}/port`);
});
