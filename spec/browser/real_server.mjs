/** The real program with plugins of a spec's own, in a folder and on a port of its own. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

/**
 * @param {Record<string, string>} plugins   name → plugin.lua
 * @param {Record<string, string>} [more]    settings; with admin.listen the result has adminUrl, which logs in
 * @returns {Promise<{url: string, adminUrl: string, dir: string, write: (name: string, text: string) => void, stop: () => Promise<void>}>}
 */
export async function startServer(plugins, more = {}) {
  const dir = mkdtempSync(path.join(tmpdir(), "maru-browser-"));
  const write = (name, text) => {
    mkdirSync(path.join(dir, "plugins", name), { recursive: true });
    writeFileSync(path.join(dir, "plugins", name, "plugin.lua"), text);
  };
  for (const [name, text] of Object.entries(plugins)) write(name, text);
  const settings = { "state.dir": `${dir}/state`, "http.listen": "127.0.0.1:0", "https.listen": "", "plugins.path": `${dir}/plugins`, "log.file": `${dir}/log`,
    "plugins.watch": "false", ...more };
  const binary = path.join(ROOT, "build", process.env.SPEC_PRESET ?? "release", "maru");
  const child = spawn(binary, ["serve", ...Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`])], { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((done) => child.once("exit", done));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(dir, { recursive: true, force: true });
  };
  let complaints = "";
  child.stderr.on("data", (text) => {
    complaints += text;
  });
  const ready = await new Promise((done, fail) => {
    let text = "";
    child.stdout.on("data", (more) => {
      text += more;
      if (text.includes("\n")) done(JSON.parse(text.slice(0, text.indexOf("\n"))));
    });
    ended.then((code) => fail(new Error(`maru ended with ${code}: ${complaints}`)));
  });
  const adminUrl = ready.admin_http ? `${ready.admin_http}/admin/login?token=${readFileSync(`${dir}/state/admin.token`, "utf8").trim()}` : "";
  return { url: ready.http, adminUrl, dir, write, stop };
}
