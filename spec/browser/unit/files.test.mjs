/** What the files of the dashboard promise each other: words, imports, preloads, policy. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { en } from "../../../public/lib/words_en.js";
import { ko } from "../../../public/lib/words_ko.js";
import { WORDS as NOTIFY } from "../../../plugins/notify/public/page.js";
import { WORDS as EXPLORER } from "../../../plugins/streampulse/public/explorer_words.js";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../public");
const files = readdirSync(ROOT, { recursive: true }).map(String).filter((name) => name.endsWith(".js") && !name.startsWith("vendor"));
const read = (name) => readFileSync(path.join(ROOT, name), "utf8");
const index = read("index.html");

for (const [where, words] of [["the dashboard", { ko, en }], ["the explorer", EXPLORER], ["notifications", NOTIFY]]) {
  test(`both languages say everything in ${where}, with the same places`, () => {
    const keys = (language) => Object.keys(words[language]).filter((key) => !key.startsWith("reason.")).sort();
    assert.deepEqual(keys("ko"), keys("en"));
    const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort();
    for (const key of keys("en")) assert.deepEqual(places(words.ko[key]), places(words.en[key]), key);
  });
}

test("every word asked for by name exists", () => {
  for (const name of files) {
    for (const [, key] of read(name).matchAll(/\bt\("([^"]+)"/g)) assert.ok(key in en, `${name}: ${key}`);
  }
});

test("imports are relative and lead to files, or to vendored ones", () => {
  for (const name of files) {
    for (const [, target] of read(name).matchAll(/(?:from|import\()\s*"([^"]+)"/g)) {
      assert.match(target, /^\.\.?\//, `${name} imports ${target}`);
      const full = path.join(ROOT, path.dirname(name), target);
      assert.ok(full.includes("/vendor/") || existsSync(full), `${name} imports ${target}`);
    }
  }
});

test("the page preloads files that exist and holds no script of its own", () => {
  for (const [, target] of index.matchAll(/(?:href|src)="\.\/([^"]+)"/g)) {
    assert.ok(target.startsWith("vendor/") || existsSync(path.join(ROOT, target)), target);
  }
  assert.doesNotMatch(index, /<script(?![^>]*\bsrc=)/);
  assert.doesNotMatch(index, /\son\w+=/);
  assert.doesNotMatch(index, /https?:/);
});

test("every module opens with a sentence and stays under 400 lines", () => {
  for (const name of files) {
    const text = read(name);
    assert.match(text, /^\/\*\*?\s+(\* )?\S/, name);
    assert.ok(text.split("\n").length <= 400, name);
  }
});
