// A stand-in for an OpenTelemetry collector: it takes OTLP/HTTP JSON on /v1/traces, refuses what
// opentelemetry-proto's JSON encoding does not allow (ids in hex of 32 and 16 digits, 64-bit numbers as text,
// kinds 1 to 5, status codes 0 to 2), and keeps the rest. It forwards nothing and draws nothing.
//
//   GET /spans           all spans it has, with the resource's attributes as `resource`
//   PUT /mode            {"status": 503, "retry_after": 1, "delay": ms, "reject": n}: how it answers from now on
//   GET /asked           how many requests came, whatever it answered, and the headers of the last one
import http from "node:http";

const spans = [];
let mode = {}, asked = 0, headers = {};

function wrong(span) {
  const { traceId, spanId, parentSpanId, kind, startTimeUnixNano: from, endTimeUnixNano: to, status, attributes } = span;
  if (!/^[0-9a-f]{32}$/.test(traceId) || /^0+$/.test(traceId)) return "traceId";
  if (!/^[0-9a-f]{16}$/.test(spanId) || /^0+$/.test(spanId)) return "spanId";
  if (!/^([0-9a-f]{16})?$/.test(parentSpanId)) return "parentSpanId";
  if (!Number.isInteger(kind) || kind < 1 || kind > 5) return "kind";
  if (!/^\d{19}$/.test(from) || !/^\d{19}$/.test(to) || BigInt(to) < BigInt(from)) return "times";
  if (typeof span.name !== "string" || span.name === "") return "name";
  if (status.code !== undefined && ![0, 1, 2].includes(status.code)) return "status";
  for (const { key, value } of attributes) {
    const [[type, content], ...more] = Object.entries(value);
    const fits = { stringValue: "string", intValue: "string", doubleValue: "number", boolValue: "boolean" }[type];
    if (!key || more.length || typeof content !== fits || (type === "intValue" && !/^-?\d+$/.test(content))) return key;
  }
  return null;
}

const flat = (attributes) => Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

function take(body) {
  let count = 0;
  for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans) {
    for (const { scope, spans: some } of scopeSpans) {
      if (!scope.name) throw new Error("scope");
      for (const span of some) {
        const bad = wrong(span);
        if (bad) throw new Error(`${bad} of ${JSON.stringify(span)}`);
        if (count++ >= (mode.reject ?? 0)) {
          spans.push({ ...span, attributes: flat(span.attributes), resource: flat(resource.attributes) });
        }
      }
    }
  }
  return Math.min(count, mode.reject ?? 0);
}

async function read(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function answer(response, status, value, more = {}) {
  response.writeHead(status, { "content-type": "application/json", ...more });
  response.end(JSON.stringify(value));
}

const server = http.createServer(async (request, response) => {
  const body = await read(request);
  if (request.url === "/spans") return answer(response, 200, spans);
  if (request.url === "/asked") return answer(response, 200, { count: asked, headers });
  if (request.url === "/mode") {
    mode = JSON.parse(body);
    return answer(response, 200, {});
  }
  asked++;
  headers = request.headers;
  if (request.url !== "/v1/traces" || request.method !== "POST") return answer(response, 404, {});
  if (mode.delay) await new Promise((done) => setTimeout(done, mode.delay));
  if (mode.status) return answer(response, mode.status, { message: "told to" },
    mode.retry_after ? { "retry-after": String(mode.retry_after) } : {});
  try {
    const rejected = take(body);
    answer(response, 200, { partialSuccess: rejected ? { rejectedSpans: String(rejected), errorMessage: "told to" } : {} });
  } catch (error) {
    answer(response, 400, { message: String(error) });
  }
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
