/**
 * Looks at a server's API document, and sends what its schemas describe.
 *
 *   node spec/support/openapi.mjs URL [COUNT [SEED]]
 *
 * Prints one line of JSON: { errors, operations, examples, sent, refused, disagreements }. `errors` are the
 * validator's about the document; COUNT values are made for each body that the document describes, right
 * ones and wrong ones, and the server must refuse (422) those and only those that ajv refuses.
 */
import { Validator } from "@seriousme/openapi-schema-validator";
import addFormats from "ajv-formats";
import { Ajv2020 } from "ajv/dist/2020.js";

const [url, count = "0", seed = "1"] = process.argv.slice(2);

/** Small and repeatable (mulberry32). */
let state = Number(seed);
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const one = (list) => list[below(list.length)];
const chance = (p) => random() < p;

const CHARACTERS = ["a", "Z", "0", " ", "-", "_", "é", "가", "나", "😀", "\n", "\"", "\\", "/", "~", ".", "@", ":"];
const NUMBERS = [0, -0, 1, -1, 0.5, -0.5, 1e-7, 2, 3, 10, 99, 100, 101, 1e15, 2 ** 53 - 1, 2 ** 53, -(2 ** 53 - 1), -(2 ** 53),
  1e300, 1.7976931348623157e308, 5e-324];
const SAMPLES = {
  date: ["2026-11-21", "2024-02-29", "2023-02-29", "1900-02-29", "2000-02-29", "2026-13-01", "2026-00-10", "2026-04-31", "2026-4-1", ""],
  "date-time": ["2026-11-21T14:05:09Z", "2026-11-21t14:05:09.123z", "2026-11-21T24:00:00Z", "2026-11-21T14:05:09", "2026-11-21T14:60:00Z",
    "2016-12-31T23:59:60Z", "2017-01-01T08:59:60+09:00", "2016-12-31T23:58:60Z", "2026-11-21T14:05:09+24:00", "2026-11-21T14:05:09-09:30"],
  time: ["14:05:09Z", "14:05:09+09:00", "14:05:09", "23:59:60Z", "08:59:60+09:00", "12:00:60Z", "24:00:00Z", "1:05:09Z", "14:05:09.Z"],
  uuid: ["019aa3c2-7f00-7000-8000-0123456789ab", "019AA3C2-7F00-7000-8000-0123456789AB", "019aa3c2-7f00-7000-8000-0123456789a",
    "019aa3c27f00700080000123456789ab", "g19aa3c2-7f00-7000-8000-0123456789ab"],
  email: ["kim@example.com", "kim.min+a@ex-ample.co.kr", "kim@localhost", "kim..min@example.com", ".kim@example.com", "kim@-a.com", "kim",
    "a@b@c.com", "kim@example.com ", "k!#$%&'*+/=?^_`{|}~-@a.b"],
  uri: ["https://example.com", "http://example.com:8080/a?b=c#d", "HTTPS://user:pw@example.com/", "https://", "http:///a", "ftp://example.com",
    "https://[2001:db8::1]:80/x", "https://[::g]/", "https://a b", "https://a/%zz", "https://가.com/", "//example.com", "https://a/?q#f#g",
    "https://a:99999/", "https://a/[x]", "https://192.0.2.1/", "http://1", "https://a:/", "https://:80/"],
  hostname: ["example.com", "a", "a-b.c", "-a.com", "a-.com", "a..b", "", "a_b.com", "x".repeat(63) + ".kr", "x".repeat(64) + ".kr", "1.2.3.4"],
  ipv4: ["192.0.2.1", "0.0.0.0", "255.255.255.255", "256.0.0.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4 "],
  ipv6: ["::", "::1", "2001:db8::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::ffff:192.0.2.1", "1::2::3", "12345::", "::1.2.3",
    "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::", ":1", "1:", "fe80::1%eth0"],
  base64: ["", "aGk=", "aA==", "aGVs", "a", "a===", "aG k", "aGk", "====", "+/+/"],
};

const AUTHORITY = /^https?:\/\/(?:[^/?#@[\]]*@)?(?:\[[^\]]+\]|[^/?#@[\]:]+)(?::\d*)?(?:[/?#]|$)/i;

/** An offset without its colon, +0900 or +09, which RFC 3339 does not know. */
const SHORT_OFFSET = /[+-]\d\d(\d\d)?$/;

/** What ajv-formats lets pass that the formats' own standards do not: of an address it may read the host as a path. */
const LAX = {
  uuid: (given) => /^urn:uuid:/i.test(given),
  "date-time": (given) => /^.{10}\s/.test(given) || SHORT_OFFSET.test(given),
  time: (given) => SHORT_OFFSET.test(given),
  hostname: (given) => given.endsWith("."),
  uri: (given) => /^https?:/i.test(given) && !AUTHORITY.test(given),
};

const text = (n) => Array.from({ length: n }, () => one(CHARACTERS)).join("");

function mangled(sample) {
  if (!sample || chance(0.6)) return sample;
  const characters = [...sample];
  characters.splice(below(characters.length + 1), below(2), chance(0.5) ? one(CHARACTERS) : "");
  return characters.join("");
}

function anything(depth = 0) {
  const kind = below(depth > 2 ? 5 : 7);
  if (kind === 0) return null;
  if (kind === 1) return chance(0.5);
  if (kind === 2) return one(NUMBERS);
  if (kind === 3) return text(below(6));
  if (kind === 4) return String(one(NUMBERS));
  if (kind === 5) return Array.from({ length: below(3) }, () => anything(depth + 1));
  return Object.fromEntries(Array.from({ length: below(3) }, (_, i) => [`k${i}`, anything(depth + 1)]));
}

/** Round a bound: itself, its neighbours. */
const round = (n, step) => n + one([-2, -1, 0, 0, 1, 2]) * step;

const makers = {
  string(schema) {
    const samples = SAMPLES[schema.format ?? schema.contentEncoding];
    if (samples && !chance(0.1)) return mangled(one(samples));
    if (schema.pattern && chance(0.8)) return mangled(one(schema.examples ?? [""]) || text(3));
    const [least, most] = [schema.minLength ?? 0, schema.maxLength ?? (schema.minLength ?? 0) + 8];
    return text(Math.max(0, chance(0.3) ? round(one([least, most]), 1) : least + below(most - least + 1)));
  },
  number(schema, step = 0.25) {
    const bounds = [schema.minimum, schema.exclusiveMinimum, schema.maximum, schema.exclusiveMaximum].filter((b) => b !== undefined);
    if (chance(0.3)) return one(NUMBERS);
    if (bounds.length && chance(0.6)) return round(one(bounds), schema.multipleOf ?? step);
    return below(100) * (schema.multipleOf ?? step);
  },
  integer: (schema) => makers.number(schema, chance(0.9) ? 1 : 0.5),
  boolean: () => chance(0.5),
  null: () => null,
  array(schema) {
    const [least, most] = [schema.minItems ?? 0, schema.maxItems ?? (schema.minItems ?? 0) + 3];
    const n = Math.max(0, chance(0.2) ? round(one([least, most]), 1) : least + below(most - least + 1));
    return Array.from({ length: n }, () => value(schema.items ?? {}));
  },
  object(schema, sample) {
    const out = {};
    const members = Object.entries(schema.properties ?? {});
    const made = sample ? new Set([one(members), one(members), one(members)].map(([name]) => name)) : null;
    for (const [name, inner] of members) {
      if (made && !made.has(name) && name in sample) out[name] = sample[name];
      else if (chance(schema.required?.includes(name) ? 0.98 : 0.6)) out[name] = value(inner);
    }
    if (schema.properties ? chance(0.03) : true) {
      const more = schema.properties ? 1 : below((schema.maxProperties ?? 2) + 2);
      const inner = typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
      for (let i = 0; i < more; i++) out[one(["x", "y/z", "~", "가", "__proto", ""]) + i] = value(inner);
    }
    return out;
  },
};

/** A value that mostly fits; of an object with a sample only few members differ from that. */
function value(schema, sample) {
  if (chance(0.02)) return anything();
  if (schema.enum) return chance(0.9) ? one(schema.enum) : anything();
  if (schema.anyOf) return value(one(schema.anyOf));
  const type = Array.isArray(schema.type) ? (chance(0.85) ? schema.type[0] : "null") : schema.type;
  if (type === "object") return makers.object(schema, sample);
  return type ? makers[type](schema) : anything();
}

const isLax = (schema, given) => typeof given === "string" && (LAX[schema.format]?.(given) ?? false);

function holdsLax(schema, given) {
  if (isLax(schema, given)) return true;
  if (schema.anyOf?.some((s) => holdsLax(s, given))) return true;
  if (Array.isArray(given)) return given.some((item) => holdsLax(schema.items ?? {}, item));
  if (given && typeof given === "object") {
    return Object.entries(given).some(([name, item]) => holdsLax(schema.properties?.[name] ?? schema.additionalProperties ?? {}, item));
  }
  return false;
}

async function send(path, method, body) {
  const answer = await fetch(url + path, { method: method.toUpperCase(), headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  return { status: answer.status, body: await answer.json().catch(() => null) };
}

function* bodies(document) {
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const media = operation.requestBody?.content?.["application/json"];
      if (media) yield { path, method, operation, media };
    }
  }
}

const document = await (await fetch(`${url}/api/openapi.json`)).json();
const found = await new Validator().validate(structuredClone(document));
const report = { errors: found.valid ? [] : [].concat(found.errors), operations: 0, examples: 0, sent: 0, refused: 0, by_path: {}, disagreements: [] };
const ids = Object.values(document.paths).flatMap((item) => Object.values(item).map((operation) => operation.operationId));
report.operations = ids.length;
if (new Set(ids).size !== ids.length) report.errors.push("an operationId stands twice");

const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true, ownProperties: true });
addFormats.default(ajv);
ajv.addVocabulary(["x-lua-pattern", "example"]);
for (const { path, method, operation, media } of bodies(document)) {
  const check = ajv.compile(media.schema);
  if ("example" in media) {
    report.examples++;
    if (!check(media.example)) report.errors.push(`${operation.operationId}: its example does not fit: ${ajv.errorsText(check.errors)}`);
  }
  for (const response of Object.values(operation.responses)) {
    const answer = response.content?.["application/json"];
    if (answer?.schema && "example" in answer && !ajv.validate(answer.schema, answer.example)) report.errors.push(`${operation.operationId}: an answer's example does not fit`);
  }
  for (let i = 0; i < Number(count); i++) {
    const given = i === 0 && "example" in media ? media.example : JSON.parse(JSON.stringify(value(media.schema, Object.keys(media.schema.properties ?? {}).length > 5 && media.example)));
    if (holdsLax(media.schema, given)) continue;
    const fits = check(given);
    const answer = await send(path, method, given);
    report.sent++;
    report.refused += fits ? 0 : 1;
    const tally = (report.by_path[path] ??= { taken: 0, refused: 0 });
    tally[fits ? "taken" : "refused"]++;
    const taken = answer.status !== 422;
    if (taken !== fits || (answer.status !== 200 && taken) || (answer.status === 422 && answer.body.errors.length === 0)) {
      report.disagreements.push({ path, given, status: answer.status, errors: answer.body?.errors ?? answer.body, ajv: ajv.errorsText(check.errors) });
      if (report.disagreements.length >= 20) break;
    }
  }
}
process.stdout.write(`${JSON.stringify(report)}\n`);
