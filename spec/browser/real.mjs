/** The real program in a folder and on a port of its own, for browser specs that change what it serves. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { eventually, keepTroubles, shotsFolder } from "./stage.mjs";

export { shotsFolder };

const BINARY = `build/${process.env.SPEC_PRESET ?? "release"}/maru`;

/** Writes as an editor does: beside, then over. */
export function write(dir, file, text) {
  const target = path.join(dir, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(`${target}.new`, text);
  renameSync(`${target}.new`, target);
}

/** One of maru's commands. @returns {string} what it printed */
export function maru(...words) {
  return execFileSync(BINARY, words, { encoding: "utf8" });
}

/**
 * @param {Record<string, string>} settings       configuration keys and values
 * @param {(plugins: string) => void} prepare     fills the folder of plugins before the start
 * @param {string} [config]                      text of maru.lua
 */
export async function serve(settings, prepare, config) {
  assert.ok(existsSync(BINARY), `${BINARY} is built`);
  const dir = mkdtempSync(path.join(tmpdir(), "maru-browser-"));
  mkdirSync(`${dir}/plugins`);
  prepare(`${dir}/plugins`);
  const set = { "state.dir": `${dir}/state`, "http.listen": "127.0.0.1:0", "https.listen": "", "plugins.path": `${dir}/plugins`,
    "log.file": `${dir}/log`, ...settings };
  if (config) writeFileSync(`${dir}/maru.lua`, config);
  const child = spawn(BINARY, ["serve", ...(config ? ["-c", `${dir}/maru.lua`] : []), ...Object.entries(set).flatMap(([key, value]) => ["--set", `${key}=${value}`])],
    { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (piece) => { output += piece; });
  await eventually(() => output.includes("\n"), "the ready line");
  return {
    dir, url: JSON.parse(output).http, adminUrl: JSON.parse(output).admin_http,
    async stop() {
      const gone = new Promise((done) => child.on("exit", done));
      child.kill("SIGTERM");
      await gone;
      rmSync(dir, { recursive: true });
    },
  };
}

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
}

/** A page in a context of its own; what goes wrong in it is kept in `page.troubles`. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", colorScheme: "light", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60000);
  keepTroubles(page);
  await page.goto(url);
  return page;
}
