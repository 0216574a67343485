/** The stage for browser specs: a server (the stand-in, or a real one by MARU_URL) and one Chromium. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { createFake } from "./fake_server.js";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

/** Watches layout shifts from the first paint on. */
const WATCH_SHIFTS = `
  window.__shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (!entry.hadRecentInput) window.__shifts.push({ value: entry.value, sources: entry.sources.map((s) => String(s.node?.className ?? s.node?.nodeName)) });
    }
  }).observe({ type: "layout-shift", buffered: true });
  window.__violations = [];
  addEventListener("securitypolicyviolation", (e) => window.__violations.push(e.violatedDirective + " " + e.blockedURI));
`;

/**
 * MARU_URL: a running server's address, ready and collecting. MARU_ADMIN_URL: what `maru admin-url`
 * prints for it; without it the operations page is only looked at from outside.
 */
export async function openStage() {
  const real = process.env.MARU_URL?.replace(/\/$/, "") ?? "";
  const fake = real ? null : createFake({ admin: "none" });
  await fake?.listen(0);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  const stage = {
    fake,
    url: real || fake.url,
    adminUrl: process.env.MARU_ADMIN_URL ?? "",
    browser,
    shots: shotsFolder(),
    /** A page in a context of its own; what goes wrong in it is kept in `page.troubles`. */
    async page(options = {}) {
      const context = await browser.newContext({
        viewport: { width: 1280, height: 900 }, locale: "en-GB", timezoneId: "Asia/Seoul", colorScheme: "light",
        ignoreHTTPSErrors: true, ...options,
      });
      await context.addInitScript(WATCH_SHIFTS);
      const page = await context.newPage();
      page.setDefaultTimeout(60000);
      keepTroubles(page);
      page.foreign = [];
      page.on("request", (request) => new URL(request.url()).origin === stage.url || /^(data|blob):/.test(request.url()) || page.foreign.push(request.url()));
      return page;
    },
    async get(route) {
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      const answer = await context.request.get(stage.url + route);
      const body = await answer.json();
      await context.close();
      return body;
    },
    async close() {
      await browser.close();
      await fake?.close();
    },
  };
  return stage;
}

/** What is no fault of a page: answers that specs ask for, and an icon that Chromium fetches when the page was left for about:blank. */
const NO_TROUBLE = /Failed to load resource|ERR_|icon\.svg' from origin 'null'/;

/** From now on `page.troubles` has what goes wrong in the page. */
export function keepTroubles(page) {
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(String(error.stack ?? error)));
  page.on("console", (message) => message.type() === "error" && !NO_TROUBLE.test(message.text()) && page.troubles.push(message.text()));
}

/** Where pictures go: SHOTS, or a folder that goes with the process. */
export function shotsFolder() {
  if (process.env.SHOTS) {
    mkdirSync(process.env.SHOTS, { recursive: true });
    return process.env.SHOTS;
  }
  const folder = mkdtempSync(path.join(tmpdir(), "maru-shots-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Opens the board and waits until rows stand. */
export async function openBoard(stage, page, route = "/#/live") {
  await page.goto(stage.url + route);
  await page.waitForSelector("[data-board] tbody tr[data-key]");
}

/** Layout shifts since the last call, added up, with what moved. */
export async function takeShifts(page) {
  const shifts = await page.evaluate("window.__shifts.splice(0)");
  return { value: shifts.reduce((sum, s) => sum + s.value, 0), sources: shifts.flatMap((s) => s.sources) };
}

/** Key → top, viewers for every row, as drawn. */
export function rows(page) {
  return page.evaluate(() => [...document.querySelectorAll("[data-board] tbody tr[data-key]")].map((row) => ({
    key: row.dataset.key, top: row.offsetTop, viewers: row.querySelector(".col-viewers .num").textContent, text: row.textContent,
    delta: row.querySelector("td.col-delta").textContent,
  })));
}

/** Asks `probe` until it gives something true. A slow machine is no fault: no test is about time. */
export async function eventually(probe, what = "the condition", ms = 60000) {
  const until = Date.now() + ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > until) throw new Error(`${what} did not come true within ${ms} ms: ${JSON.stringify(found)}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}
