/** StreamPulse's analysis on its page, in the real program with a stand-in for OpenAI: read while it is written, asked for again. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { startServer } from "./real_server.mjs";

const REPLAY = `
local M = { name = "replay", version = "1.0.0" }
M.routes = { ["GET /replay/service/v1/lives"] = function(app)
  local step = app.cache:incr("step")
  return 200, { code = 200, message = app.json.null, content = { size = 1, page = app.json.null, data = { {
    liveId = 1001, liveTitle = "마루의 방송: 오늘은 합방", concurrentUserCount = step < 5 and 1000 or 2600,
    openDate = "2026-11-20 12:00:00", adult = false, liveCategoryValue = "talk",
    channel = { channelId = ("%032x"):format(1), channelName = "마루" },
  } } } }
end }
return M
`;

const SUMMARY = { ko: "시청자가 평소 1,000명에서 2,600명으로 한꺼번에 늘었습니다. 다른 방송에서 넘어온 것으로 보입니다.",
  en: "Viewers rose from the usual 1,000 to 2,600 all at once, probably coming over from another broadcast." };
const ANSWER = JSON.stringify({ summary: SUMMARY, causes: [
  { code: "sudden_jump", weight: 0.7, ko: "한 번의 수집 사이에 시청자가 늘었습니다.", en: "Viewers came between two collections." },
  { code: "other", weight: 0.3, ko: "외부에 주소가 공유되었을 수 있습니다.", en: "The address may have been shared elsewhere." }],
confidence: 0.8, claims: [{ name: "viewers", value: 2600 }] });

const freePort = () => new Promise((done) => {
  const probe = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => done(port));
  });
});

describe("an analysis by a language model", { timeout: 500000 }, () => {
  let dir;
  let peer;
  let maru;
  let browser;
  const say = (steps) => writeFileSync(path.join(dir, "script.json"), JSON.stringify(steps));
  const shots = process.env.MARU_SHOTS;

  before(async () => {
    dir = mkdtempSync(path.join(tmpdir(), "maru-agent-"));
    mkdirSync(path.join(dir, "plugins", "replay"), { recursive: true });
    writeFileSync(path.join(dir, "plugins", "replay", "plugin.lua"), REPLAY);
    say([{ text: ANSWER, pause: 0.02 }]);
    peer = spawn("python3", ["spec/support/openai.py", path.join(dir, "requests")], { stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, OPENAI_SCRIPT: path.join(dir, "script.json") } });
    const port = await new Promise((done) => {
      let said = "";
      peer.stdout.on("data", (text) => {
        said += text;
        if (said.endsWith("\n")) done(said.match(/ready (\d+)/)[1]);
      });
    });
    const http = await freePort();
    maru = await startServer({}, { "http.listen": `127.0.0.1:${http}`, "admin.listen": "127.0.0.1:0", "plugins.path": `plugins:${dir}/plugins`,
      "plugins.disable": "simulator", "plugins.chzzk.web_base": `http://127.0.0.1:${http}/replay`, "plugins.chzzk.page_pause": "0",
      "plugins.streampulse.platforms": '["chzzk"]', "plugins.streampulse.min_points": "2", "plugins.streampulse.fresh_for": "0",
      "plugins.streampulse.collect_every": "@every 1s", "plugins.streampulse.detect_every": "@every 1s",
      "model.providers": JSON.stringify([{ name: "main", url: `http://127.0.0.1:${port}/v1`, model: "script", rest: "0s", price: { input: 150, output: 600 } }]) });
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
  });

  after(async () => {
    await browser?.close();
    await maru?.stop();
    peer?.kill();
    rmSync(dir, { recursive: true, force: true });
  });

  async function open(options, admin) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", timezoneId: "Asia/Seoul", ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(60000);
    await page.goto(admin ? maru.adminUrl : maru.url);
    const origin = new URL(page.url()).origin;
    await page.goto(`${origin}/#/events/1`);
    return page;
  }

  const shoot = async (page, name) => shots && page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });

  async function waitForEvent() {
    for (let i = 0; i < 600; i++) {
      const answer = await fetch(`${maru.url}/api/events/1`);
      if (answer.ok && (await answer.json()).status === "ANALYZED") return;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error("no analysed event");
  }

  test("says who said it and what it cost", async () => {
    await waitForEvent();
    const page = await open({}, false);
    const analysis = page.locator("[data-analysis]");
    await analysis.locator(".causes li").nth(1).waitFor();
    assert.match(await analysis.innerText(), /Viewers rose from the usual 1,000 to 2,600/);
    assert.match(await analysis.locator("[data-engine]").innerText(), /stand-in-1/);
    assert.match(await analysis.innerText(), /\$0\.0027 for 12 tokens/);
    await shoot(page, "model-desktop-light");
    await page.locator("[data-again]").click();
    await page.getByText("Only operators may").waitFor();
    await page.context().close();
  });

  test("is read while it is written, when an operator asks again", async () => {
    const page = await open({ colorScheme: "dark" }, true);
    await page.locator("[data-analysis] .causes").waitFor();
    say([{ call: "viewers", arguments: { minutes: 60 } }, { text: ANSWER, pause: 0.15 }]);
    await page.locator("[data-again]").click();
    const live = page.locator("[data-live]");
    await live.waitFor();
    const seen = new Set();
    while (seen.size < 4) {
      const text = await live.innerText();
      if (text) {
        assert.ok(SUMMARY.en.startsWith(text), text);
        seen.add(text);
      }
      await page.waitForTimeout(60);
    }
    assert.ok(await page.locator("[data-again]").isDisabled());
    await shoot(page, "model-desktop-dark-writing");
    await page.getByText("for 24 tokens").waitFor();
    assert.equal(await live.count(), 0);
    await page.context().close();
  });

  test("is labelled in both languages when the rules had to", async () => {
    say([{ text: ANSWER.replaceAll("2,600", "98,765") }]);
    const operator = await open({}, true);
    await operator.locator("[data-again]").click();
    await operator.getByText("By rules: what the language model said does not fit the data.").waitFor();
    assert.match(await operator.locator("[data-engine]").innerText(), /rule-based/);
    await operator.goto(`${new URL(operator.url()).origin}/#/operations`);
    const row = operator.locator('[data-model="main"]');
    await row.waitFor();
    assert.match(await row.innerText(), /streampulse/);
    assert.match(await operator.locator("section:has(#ops-models)").innerText(), /today \(UTC\)/);
    await shoot(operator, "operations-models");
    await operator.context().close();
    const page = await open({ locale: "ko-KR", viewport: { width: 390, height: 844 }, colorScheme: "dark" }, false);
    await page.getByText("규칙으로 분석했습니다. 언어 모델의 답이 자료와 맞지 않았습니다.").waitFor();
    assert.match(await page.locator("[data-engine]").innerText(), /규칙 기반/);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    await shoot(page, "rules-phone-dark-ko");
    await page.context().close();
    const light = await open({ locale: "ko-KR", viewport: { width: 390, height: 844 }, colorScheme: "light" }, false);
    await light.locator("[data-why]").waitFor();
    await shoot(light, "rules-phone-light-ko");
    await light.context().close();
  });
});
