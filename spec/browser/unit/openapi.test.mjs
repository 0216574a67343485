/** The API document as the reference page reads it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { curlOf, fieldsOf, groupByTag, isNullable, keyOf, limitsOf, makeRequest, membersOf, operationsOf, placeErrors, pretty, resolve, sampleBody, searchOperations,
  typeName } from "../../../public/lib/openapi.js";

const BODY = { type: "object", additionalProperties: false, required: ["name"], properties: {
  tags: { type: ["array", "null"], items: { type: "string" } }, name: { type: "string", minLength: 1 }, age: { type: ["integer", "null"], minimum: -(2 ** 53 - 1), maximum: 150 },
  ok: { type: "boolean" } } };
const DOCUMENT = {
  paths: {
    "/b": { get: { operationId: "b.get", tags: ["b"], summary: "Things" } },
    "/a/{id}/{rest}": { post: { operationId: "a.post", tags: ["a"], parameters: [
      { name: "q", in: "query", schema: { type: "string" } },
      { name: "id", in: "path", required: true, schema: { type: "integer", minimum: 5 } },
      { $ref: "#/components/parameters/Rest" },
      { name: "x-key", in: "header", schema: { type: "array", items: { type: "integer" }, examples: [[1, 2]] } }],
    requestBody: { content: { "application/json": { schema: BODY, example: { name: "kim", age: 3, tags: ["x"] } } } } } },
  },
  components: { parameters: { Rest: { name: "rest", in: "path", required: true, schema: { type: "string" } } } },
};
const post = operationsOf(DOCUMENT)[0];
const fields = fieldsOf(DOCUMENT, post);
const initial = Object.fromEntries(fields.map((field) => [keyOf(field), field.initial]));

test("operations are found by any of their words", () => {
  const all = operationsOf(DOCUMENT);
  assert.deepEqual(all.map((o) => `${o.method} ${o.path}`), ["POST /a/{id}/{rest}", "GET /b"]);
  assert.deepEqual(groupByTag(all).map(([tag, some]) => [tag, some.length]), [["a", 1], ["b", 1]]);
  assert.deepEqual(searchOperations(all, "things GET").map((o) => o.id), ["b.get"]);
  assert.equal(searchOperations(all, "").length, 2);
  assert.deepEqual(operationsOf(null), []);
});

test("fields come required first, with their part and a text to begin with", () => {
  assert.deepEqual(fields.map((f) => [f.part, f.name, f.required, f.initial]), [
    ["path", "id", true, "5"], ["path", "rest", true, "text"], ["query", "q", false, ""], ["headers", "x-key", false, "1,2"],
    ["body", "name", true, "kim"], ["body", "age", false, "3"], ["body", "ok", false, ""], ["body", "tags", false, "[\n  \"x\"\n]"]]);
  assert.deepEqual(JSON.parse(sampleBody(post)), { age: 3, name: "kim", tags: ["x"] });
  assert.deepEqual(membersOf(BODY).map(([name]) => name), ["name", "age", "ok", "tags"]);
});

test("texts make a request", () => {
  const { path, headers, body, wrong } = makeRequest(post, fields, { ...initial, "path:rest": "a b/c?", "query:q": "x&y,z", "body:ok": "true", "body:tags": "" }, false);
  assert.equal(path, "/a/5/a%20b/c%3F?q=x%26y,z");
  assert.deepEqual(headers, { "x-key": "1,2", "content-type": "application/json" });
  assert.deepEqual(JSON.parse(body), { name: "kim", age: 3, ok: true });
  assert.deepEqual(wrong, {});
});

test("what is no number stays text, what is no JSON is told, a required text may be empty", () => {
  const request = makeRequest(post, fields, { ...initial, "body:age": "x", "body:tags": "[", "body:name": "" }, false);
  assert.deepEqual(JSON.parse(request.body), { name: "", age: "x", tags: "[" });
  assert.deepEqual(Object.keys(request.wrong), ["body:tags"]);
  assert.deepEqual(JSON.parse(makeRequest(post, fields, { ...initial, "body:age": "null" }, false).body).age, null);
  assert.deepEqual(Object.keys(makeRequest(post, fields, { ...initial, body: "{" }, true).wrong), ["body"]);
  assert.equal(makeRequest(post, fields, { ...initial, body: "{}" }, true).body, "{}");
  assert.equal(makeRequest(post, fields, { ...initial, body: "" }, true).body, undefined);
});

test("a command quotes what a shell would read, and writes no token out", () => {
  assert.equal(curlOf("http://h", "GET", { path: "/a?b='", headers: {} }), "curl 'http://h/a?b='\\'''");
  assert.equal(curlOf("http://h", "PUT", { path: "/", headers: { authorization: "Bearer secret", a: "b" }, body: "{}" }),
    "curl -X PUT 'http://h/' \\\n  -H \"authorization: Bearer $TOKEN\" \\\n  -H 'a: b' \\\n  -d '{}'");
});

test("a problem's errors go to the field they belong to", () => {
  const { byKey, rest } = placeErrors({ errors: [
    { in: "body", field: "body.tags[2].x", pointer: "/tags/1/x", message: "is required" },
    { in: "body", field: "body.age", pointer: "/age", message: "must be less" },
    { in: "path", field: "path.id", pointer: "/id", message: "no" },
    { in: "body", field: "body.other", pointer: "/other", message: "unknown field" },
    { in: "body", field: "body", pointer: "", message: "must be an object" }] }, fields);
  assert.deepEqual(byKey, { "body:tags": ["[2].x: is required"], "body:age": ["must be less"], "path:id": ["no"] });
  assert.deepEqual(rest.map((error) => error.field), ["body.other", "body"]);
  assert.deepEqual(placeErrors(undefined, fields), { byKey: {}, rest: [] });
});

test("types and limits are told in few words", () => {
  const word = (unit) => unit;
  assert.equal(typeName({ type: ["array", "null"], items: { type: "object", additionalProperties: { type: "integer" } } }), "{ integer }[]");
  assert.equal(typeName({ anyOf: [{ type: "integer" }, { type: "string", format: "uuid" }, { type: "null" }] }), "integer | uuid");
  assert.equal(typeName({}), "any");
  assert.ok(isNullable({ anyOf: [{ type: "null" }] }) && isNullable({ type: ["string", "null"] }) && !isNullable({ type: "string" }));
  assert.deepEqual(limitsOf(BODY.properties.age, word), ["≤ 150"]);
  assert.deepEqual(limitsOf({ minLength: 2, maxLength: 2, exclusiveMinimum: 0, uniqueItems: true, enum: ["a", null] }, word), ["a", "> 0", "2 characters", "unique"]);
  assert.equal(pretty({ b: 1, a: [{ d: 1, c: 2 }] }).replace(/\s/g, ""), '{"a":[{"c":2,"d":1}],"b":1}');
  assert.deepEqual(resolve(DOCUMENT, { $ref: "#/components/nothing/Here" }), {});
});
