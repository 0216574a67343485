/** The API document as the reference page needs it: operations in groups, fields to fill in, requests. Pure. */

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];
const WHOLE_MOST = Number.MAX_SAFE_INTEGER;

/**
 * @typedef {Object} Operation
 * @property {string} id
 * @property {string} method      "GET"
 * @property {string} path        "/a/{id}"
 * @property {string} tag
 * @property {string} summary
 * @property {any} spec           the operation itself
 */

/** @param {any} document @returns {Operation[]} by tag, then by path */
export function operationsOf(document) {
  const list = [];
  for (const [path, item] of Object.entries(document?.paths ?? {})) {
    for (const method of METHODS.filter((m) => item[m])) {
      const spec = item[method];
      list.push({ id: spec.operationId, method: method.toUpperCase(), path, tag: spec.tags?.[0] ?? "", summary: spec.summary ?? "", spec });
    }
  }
  return list.sort((a, b) => compare(a.tag, b.tag) || compare(a.path, b.path) || METHODS.indexOf(a.method.toLowerCase()) - METHODS.indexOf(b.method.toLowerCase()));
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** Those in which every word of the text is found. @param {Operation[]} operations @param {string} text */
export function searchOperations(operations, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return operations.filter((o) => {
    const all = `${o.method} ${o.path} ${o.summary} ${o.tag} ${o.id}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

/** @param {Operation[]} operations @returns {[string, Operation[]][]} */
export function groupByTag(operations) {
  const groups = new Map();
  for (const operation of operations) groups.set(operation.tag, [...(groups.get(operation.tag) ?? []), operation]);
  return [...groups];
}

/** "#/components/responses/Invalid" → "Invalid". @param {any} item */
export const refName = (item) => item?.$ref?.split("/").pop() ?? "";

/** Follows "#/components/…". @param {any} document @param {any} item */
export function resolve(document, item) {
  let found = item;
  for (let i = 0; i < 10 && found?.$ref; i++) {
    found = found.$ref.slice(2).split("/").reduce((at, key) => at?.[key.replace(/~1/g, "/").replace(/~0/g, "~")], document);
  }
  return found ?? {};
}

/** What null adds is left out: ["string", "null"] → "string". */
export function typeOf(schema) {
  if (schema.anyOf) return "anyOf";
  const types = [].concat(schema.type ?? []).filter((type) => type !== "null");
  return types[0] ?? "any";
}

export const isNullable = (schema) => [].concat(schema.type ?? []).includes("null") || Boolean(schema.anyOf?.some((s) => s.type === "null"));

/** The type in few words: "string", "integer[]", "date-time", "{ integer }". @param {any} schema */
export function typeName(schema) {
  const type = typeOf(schema);
  if (type === "array") return `${schema.items ? typeName(schema.items) : "any"}[]`;
  if (type === "anyOf") return schema.anyOf.filter((s) => s.type !== "null").map(typeName).join(" | ");
  if (type === "string") return schema.format ?? schema.contentEncoding ?? (schema.enum ? "enum" : "string");
  if (type === "object" && typeof schema.additionalProperties === "object") return `{ ${typeName(schema.additionalProperties)} }`;
  return type;
}

/**
 * Its limits: "1–50", "≥ 0", "≤ 280 characters", "a · b".
 * @param {any} schema
 * @param {(unit: "characters"|"items"|"entries"|"unique") => string} word
 * @returns {string[]}
 */
export function limitsOf(schema, word) {
  const out = [];
  if (schema.enum) out.push(schema.enum.filter((word) => word !== null).join(" · "));
  out.push(
    span(known(schema.minimum), known(schema.maximum)),
    schema.exclusiveMinimum === undefined ? "" : `> ${schema.exclusiveMinimum}`,
    schema.exclusiveMaximum === undefined ? "" : `< ${schema.exclusiveMaximum}`,
    schema.multipleOf > 1 ? `× ${schema.multipleOf}` : "",
    span(schema.minLength, schema.maxLength, word("characters")),
    span(schema.minItems, schema.maxItems, word("items")),
    span(schema.minProperties, schema.maxProperties, word("entries")),
    schema.uniqueItems ? word("unique") : "",
    schema["x-lua-pattern"] ? `/${schema["x-lua-pattern"]}/` : "",
  );
  return out.filter(Boolean);
}

/** The limits of whole numbers themselves say nothing. */
const known = (n) => (Math.abs(n) === WHOLE_MOST ? undefined : n);

function span(least, most, unit = "") {
  if (least === undefined && most === undefined) return "";
  const behind = unit && ` ${unit}`;
  if (least === undefined) return `≤ ${most}${behind}`;
  if (least === most) return `${least}${behind}`;
  return most === undefined ? `≥ ${least}${behind}` : `${least}–${most}${behind}`;
}

/** JSON over several lines, names in order. @param {any} value */
export const pretty = (value) => JSON.stringify(value, (_, item) => (item && typeof item === "object" && !Array.isArray(item)
  ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => compare(a, b))) : item), 2);

/** Numbers, words and the like have a line of their own; the rest is written as JSON. */
export const isPlain = (schema) => ["string", "integer", "number", "boolean"].includes(typeOf(schema));

/**
 * A field to fill in. `part` and `name` are where an error of the server says it belongs.
 * @typedef {Object} FormField
 * @property {"path"|"query"|"headers"|"body"} part
 * @property {string} name
 * @property {boolean} required
 * @property {any} schema
 * @property {string} [description]
 * @property {string} initial     text to begin with
 */

const PARTS = { path: "path", query: "query", header: "headers" };

/** @param {any} document @param {Operation} operation @returns {FormField[]} */
export function fieldsOf(document, operation) {
  const fields = (operation.spec.parameters ?? []).map((given) => {
    const parameter = resolve(document, given);
    const sample = parameter.schema.examples?.[0] ?? (parameter.required ? sampleOf(parameter.schema) : undefined);
    return { part: PARTS[parameter.in], name: parameter.name, required: Boolean(parameter.required), schema: parameter.schema,
      description: parameter.description, initial: asText(parameter.schema, sample, true) };
  });
  fields.sort((a, b) => Number(b.required) - Number(a.required));
  const media = bodyOf(operation);
  if (!media || !hasMembers(media.schema)) return fields;
  for (const [name, schema, required] of membersOf(media.schema)) {
    fields.push({ part: "body", name, required, schema, description: schema.description, initial: asText(schema, media.example?.[name], false) });
  }
  return fields;
}

/** Required ones first, then by name: a document keeps no order. @returns {[string, any, boolean][]} */
export function membersOf(schema) {
  return Object.entries(schema.properties).map(([name, field]) => [name, field, Boolean(schema.required?.includes(name))])
    .sort((a, b) => Number(b[2]) - Number(a[2]) || compare(a[0], b[0]));
}

export const bodyOf = (operation) => operation.spec.requestBody?.content?.["application/json"] ?? null;
export const hasMembers = (schema) => typeOf(schema) === "object" && Boolean(schema.properties) && schema.additionalProperties === false;

/** The body to begin with, as text. @param {Operation} operation */
export function sampleBody(operation) {
  const media = bodyOf(operation);
  if (!media) return "";
  return pretty("example" in media ? media.example : sampleOf(media.schema) ?? {});
}

function sampleOf(schema) {
  if (schema.examples) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const type = typeOf(schema);
  if (type === "integer" || type === "number") return Math.max(known(schema.minimum) ?? 1, 1);
  if (type === "boolean") return true;
  if (type === "array") return [];
  if (type === "string" && !schema.format && !schema.pattern) return "text".slice(0, schema.maxLength).padEnd(schema.minLength ?? 0, ".");
  return undefined;
}

function asText(schema, value, inAddress) {
  if (value === undefined || value === null) return "";
  if (inAddress && Array.isArray(value)) return value.join(",");
  return isPlain(schema) || inAddress ? String(value) : pretty(value);
}

export const keyOf = (field) => `${field.part}:${field.name}`;

/**
 * What the form's texts make. Texts that are no JSON where JSON belongs are told in `wrong`, by key.
 * @param {Operation} operation
 * @param {FormField[]} fields
 * @param {Record<string, string>} texts    by key; "body" is the whole body when `whole` is set
 * @param {boolean} whole
 * @returns {{path: string, headers: Record<string, string>, body: string|undefined, wrong: Record<string, string>}}
 */
export function makeRequest(operation, fields, texts, whole) {
  const wrong = {};
  const text = (field) => texts[keyOf(field)] ?? "";
  let path = operation.path;
  const query = [];
  const headers = {};
  const members = {};
  for (const field of fields) {
    const given = text(field);
    if (field.part === "path") path = path.replace(`{${field.name}}`, given.split("/").map(encodeURIComponent).join("/"));
    else if (given === "" && !(field.required && typeOf(field.schema) === "string" && field.part !== "headers")) continue;
    else if (field.part === "query") query.push(`${encodeURIComponent(field.name)}=${encodeURIComponent(given).replace(/%2C/g, ",")}`);
    else if (field.part === "headers") headers[field.name] = given;
    else if (!whole) members[field.name] = read(field, given, wrong);
  }
  if (query.length) path += `?${query.join("&")}`;
  const media = bodyOf(operation);
  let body;
  if (media && (whole || !hasMembers(media.schema))) {
    body = texts.body ?? "";
    try {
      if (body) JSON.parse(body);
    } catch (error) {
      wrong.body = String(error.message);
    }
  } else if (media) body = pretty(members);
  if (body) headers["content-type"] = "application/json";
  return { path, headers, body: body || undefined, wrong };
}

/** A text as its field's value: what is no number stays text, and the server says so. */
function read(field, text, wrong) {
  const type = typeOf(field.schema);
  if (text === "null" && isNullable(field.schema)) return null;
  if (type === "boolean" && /^(true|false)$/.test(text)) return text === "true";
  if ((type === "integer" || type === "number") && text.trim() !== "" && Number.isFinite(Number(text))) return Number(text);
  if (isPlain(field.schema)) return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    wrong[keyOf(field)] = String(error.message);
    return text;
  }
}

const quote = (text) => `'${text.replace(/'/g, "'\\''")}'`;

/** The same request for a shell; a token is not written out. @param {string} origin @param {string} method @param {{path: string, headers: Record<string, string>, body?: string}} request */
export function curlOf(origin, method, { path, headers, body }) {
  const lines = [`curl ${method === "GET" ? "" : method === "HEAD" ? "-I " : `-X ${method} `}${quote(origin + path)}`];
  for (const [name, value] of Object.entries(headers)) {
    lines.push(name === "authorization" ? '-H "authorization: Bearer $TOKEN"' : `-H ${quote(`${name}: ${value}`)}`);
  }
  if (body) lines.push(`-d ${quote(body)}`);
  return lines.join(" \\\n  ");
}

/**
 * A problem's errors by the field of the form they belong to; what belongs to none stays in `rest`.
 * @param {any} problem @param {FormField[]} fields
 * @returns {{byKey: Record<string, string[]>, rest: any[]}}
 */
export function placeErrors(problem, fields) {
  const keys = new Set(fields.map(keyOf));
  const byKey = {};
  const rest = [];
  for (const error of problem?.errors ?? []) {
    const name = (error.pointer ?? "").split("/")[1]?.replace(/~1/g, "/").replace(/~0/g, "~") ?? "";
    const key = `${error.in}:${name}`;
    const deeper = error.field.slice(`${error.in}.${name}`.length);
    if (keys.has(key)) (byKey[key] ??= []).push(`${deeper ? `${deeper.replace(/^\./, "")}: ` : ""}${error.message}`);
    else rest.push(error);
  }
  return { byKey, rest };
}
