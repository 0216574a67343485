/** The dashboard's pure parts: no browser, no server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { search } from "../../../public/lib/api.js";
import { backoff } from "../../../public/lib/backoff.js";
import { fetchBoard, filterFromQuery, holdOrder, queryFromFilter, sortBy } from "../../../public/lib/board.js";
import * as format from "../../../public/lib/format.js";
import { reason, t } from "../../../public/lib/i18n.js";
import { joinLines, shares } from "../../../public/lib/rates.js";
import { channelHref, href, parseRoute } from "../../../public/lib/route.js";
import { fitSpan, moveSpan, sparkPath, spanFor, stats, stepFor, withGaps } from "../../../public/lib/series.js";
import { browserLanguage, lang } from "../../../public/lib/settings.js";
import { signal } from "../../../public/lib/signal.js";

const NOW = Date.parse("2026-11-21T14:00:00+09:00");
const live = (id, viewers) => ({ platform: "chzzk", channel_id: id, viewers });

test("a route is read from the hash and written back", () => {
  assert.equal(parseRoute("").page, "live");
  assert.equal(parseRoute("#/").page, "live");
  const route = parseRoute(channelHref("soop", "a/b ?#한"));
  assert.deepEqual([route.page, route.params], ["channel", { platform: "soop", id: "a/b ?#한" }]);
  assert.deepEqual(parseRoute("#/events/12").params, { id: "12" });
  assert.equal(parseRoute("#/events/x").page, "plugin");
  assert.equal(parseRoute("#/live?q=a%20b").query.get("q"), "a b");
  assert.equal(parseRoute("#/channels/x/%E0%A4%A").params.id, "%E0%A4%A");
  assert.equal(href("/live", { q: "", platform: "soop" }), "#/live?platform=soop");
});

test("a query leaves out what is empty", () => {
  assert.equal(search({ a: 1, b: null, c: "", d: undefined, e: 0 }), "?a=1&e=0");
  assert.equal(search(null), "");
});

test("a filter survives the address, and bad values become the defaults", () => {
  const filter = { platform: "soop", category: "", q: "ab", sort: "delta", order: "asc" };
  assert.deepEqual(filterFromQuery(parseRoute(href("/live", queryFromFilter(filter))).query), filter);
  assert.deepEqual(filterFromQuery(new URLSearchParams("sort=drop&order=up")), { platform: "", category: "", q: "", sort: "viewers", order: "desc" });
});

test("sorting twice by one column turns it round", () => {
  const once = sortBy({ sort: "viewers", order: "desc" }, "delta");
  assert.deepEqual(once, { sort: "delta", order: "desc" });
  assert.deepEqual(sortBy(once, "delta"), { sort: "delta", order: "asc" });
});

test("pages are followed by cursor, a live on two pages counts once, an empty page ends it", async () => {
  const asked = [];
  const pages = { first: { lives: [live("a", 3), live("b", 2)], next: "2" }, 2: { lives: [live("b", 2), live("c", 1)], next: "3" }, 3: { lives: [], next: "4" } };
  const get = async (query) => {
    asked.push(query.limit);
    return pages[query.cursor ?? "first"];
  };
  const board = await fetchBoard(get, filterFromQuery(new URLSearchParams()), 450);
  assert.deepEqual(board.lives.map((l) => l.channel_id), ["a", "b", "c"]);
  assert.deepEqual(asked, [200, 200, 200]);
});

test("a held order keeps places, takes new numbers, dims the gone", () => {
  const held = holdOrder([live("a", 3), live("b", 2)], [live("b", 9), live("c", 8)]);
  assert.deepEqual(held.map((l) => [l.channel_id, l.viewers, Boolean(l.gone)]), [["a", 3, true], ["b", 9, false]]);
});

test("numbers are written for people", () => {
  assert.equal(format.count(12345, "ko"), "12,345");
  assert.equal(format.count(null, "ko"), "–");
  assert.equal(format.compact(12000, "ko"), "1.2만");
  /* k or K, as the ICU of the Node or browser has it. */
  assert.deepEqual([1000, 1250, 1500].map((n) => format.compact(n, "en", 2).toLowerCase()), ["1k", "1.25k", "1.5k"]);
  assert.deepEqual([format.signed(3, "en"), format.signed(-1200, "en"), format.signed(0, "en"), format.signed(null, "en")], ["+3", "−1,200", "0", "–"]);
  assert.deepEqual([format.bytes(0, "en"), format.bytes(1536, "en"), format.bytes(96468992, "en")], ["0 B", "1.5 KiB", "92.0 MiB"]);
  assert.equal(format.percent(0.423, "en"), "42%");
});

test("times are written for people", () => {
  assert.deepEqual([3723, 59, 0, 90000].map((s) => format.duration(s, "en")), ["1h 2m", "59s", "0s", "1d 1h"]);
  assert.equal(format.duration(3723, "ko"), "1시간 2분");
  assert.equal(format.ago("2026-11-21T13:57:00+09:00", NOW, "en"), "3 min ago");
  assert.equal(format.ago(NOW / 1000 + 120, NOW, "ko"), "2분 후");
  assert.equal(format.ago(null, NOW, "en"), "–");
  assert.equal(format.since(NOW / 1000 - 7200, NOW, "en"), "2h");
});

test("a step keeps the chart drawable", () => {
  assert.equal(stepFor(86400), null);
  assert.equal(stepFor(7 * 86400), "30m");
  assert.equal(stepFor(30 * 86400), "2h");
  assert.equal(stepFor(10 * 365 * 86400), "1d");
});

test("a span pans and zooms within its bounds", () => {
  const bounds = { from: 0, to: 10000 };
  assert.deepEqual(moveSpan({ from: 1000, to: 2000 }, bounds, "ArrowLeft"), { from: 800, to: 1800 });
  assert.deepEqual(moveSpan({ from: 0, to: 1000 }, bounds, "ArrowLeft"), { from: 0, to: 1000 });
  assert.deepEqual(moveSpan({ from: 9500, to: 10000 }, bounds, "-"), { from: 9000, to: 10000 });
  assert.deepEqual(moveSpan({ from: 1000, to: 2000 }, bounds, "+"), { from: 1250, to: 1750 });
  assert.equal(moveSpan({ from: 0, to: 1 }, bounds, "x"), null);
  assert.deepEqual(spanFor("6h", 100000, 0), { from: 78400, to: 100000 });
  assert.deepEqual(spanFor("all", 100000, 5), { from: 5, to: 100000 });
  assert.deepEqual(spanFor("24h", 100000, 99000), { from: 99000, to: 100000 });
  assert.deepEqual(spanFor("24h", 100000, 99990), { from: 99940, to: 100000 });
});

test("a gap in time breaks the line", () => {
  const [at, values] = withGaps([0, 10, 20, 100, 110], [[1, 2, 3, 4, 5]]);
  assert.deepEqual(at, [0, 10, 20, 60, 100, 110]);
  assert.deepEqual(values, [1, 2, 3, null, 4, 5]);
  assert.deepEqual(withGaps([], [[]]), [[], []]);
});

test("figures skip what is unknown", () => {
  assert.deepEqual(stats([1, 2, 3], [5, null, 9]), { max: 9, maxAt: 3, min: 5, mean: 7 });
  assert.deepEqual(stats([], []), { max: null, maxAt: null, min: null, mean: null });
});

test("a sparkline needs two points, a flat one lies in the middle", () => {
  assert.equal(sparkPath([1], 10, 10), "");
  assert.equal(sparkPath([5, 5], 10, 10), "M0 5L10 5");
  assert.equal(sparkPath([0, null, 10], 10, 10), "M0 10M10 0");
});

test("processor shares need two looks and survive a restart", () => {
  const first = { at: 0, values: { a: 1, b: 5 } };
  assert.deepEqual(shares(null, first), { a: null, b: null });
  assert.deepEqual(shares(first, { at: 2000, values: { a: 2, b: 0 } }), { a: 0.5, b: null });
});

test("a log tail joins, is bounded, and starts over with the server", () => {
  const kept = joinLines([{ seq: 1 }, { seq: 2 }], { lines: [{ seq: 2 }, { seq: 3 }], last: 3 }, 2);
  assert.deepEqual(kept, [{ seq: 2 }, { seq: 3 }]);
  assert.deepEqual(joinLines(kept, { lines: [{ seq: 1 }], last: 1 }, 2), [{ seq: 1 }]);
});

test("waiting doubles up to ten seconds, with jitter", () => {
  assert.deepEqual([0, 1, 2, 9, 99].map((n) => backoff(n, () => 0.5)), [500, 1000, 2000, 10000, 10000]);
  assert.deepEqual([backoff(0, () => 0), backoff(0, () => 1)], [375, 625]);
});

test("the language is the first of ours that the browser asks for", () => {
  assert.equal(browserLanguage(["fr", "ko-KR", "en"]), "ko");
  assert.equal(browserLanguage(["en-US", "ko"]), "en");
  assert.equal(browserLanguage([]), "en");
});

test("a server's reason is put into Korean where it is known, and left alone where not", () => {
  const text = "CHZZK unreachable: could not resolve host";
  assert.equal(reason(text), text);
  lang.value = "ko";
  assert.equal(reason(text), "치지직 연결 안 됨: 호스트 이름을 찾을 수 없음");
  assert.equal(reason("CHZZK unreachable: status 451"), "치지직 연결 안 됨: status 451");
  assert.equal(reason("something else"), "something else");
  assert.equal(t("board.found", { n: 3 }), "방송 3개");
  lang.value = "en";
});

test("a signal tells its subscribers once a change, and none after they left", () => {
  const heard = [];
  const s = signal(1);
  const off = s.subscribe((value) => heard.push(value));
  s.value = 1;
  s.value = 2;
  off();
  s.value = 3;
  assert.deepEqual(heard, [2]);
});

test("a moment is told in the zone that was asked for", () => {
  assert.equal(format.moment("2026-11-21T18:00:00Z", "en", "Asia/Seoul"), "22 Nov, 03:00");
  assert.equal(format.moment("2026-11-21T18:00:00Z", "en", "America/New_York"), "21 Nov, 13:00");
});

test("a span around an instant is cut to where there are points, and holds the instant", () => {
  const whole = { from: 0, to: 14400 };
  assert.deepEqual(fitSpan(whole, 10800, undefined), whole);
  assert.deepEqual(fitSpan(whole, 10800, []), whole);
  assert.deepEqual(fitSpan(whole, 10800, [10700, 10900]), { from: 10685, to: 10915 });
  assert.deepEqual(fitSpan(whole, 10800, [10000, 10700]), { from: 9960, to: 10840 });
  assert.deepEqual(fitSpan(whole, 10800, [0, 14400]), whole);
});
