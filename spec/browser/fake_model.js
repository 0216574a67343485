/** The stand-in's world: seeded channels whose viewers follow a function of the collection's number. */

const NAMES = ["나무늘보", "한밤의라디오", "김치전사", "달빛게이머", "초록우산", "바다거북", "느린우체통", "삼색고양이", "별사탕",
  "도서관고양이", "마루밑아리", "새벽배송", "감자튀김", "오후네시", "북극곰", "모래시계", "노을지기", "비온뒤", "콩나물", "하루한곡",
  "MapleRoad", "PixelHan", "NightOwl", "SeoulCat", "TinyRobot", "QuietStorm", "Sunday FM", "Blue Note", "Kimbap Lab", "Long Way"];
const TITLES = ["오늘은 끝까지 갑니다", "랭크 올리는 중, 훈수 환영", "새벽 감성 라디오 & 사연 읽기", "신작 첫 플레이! 스포 금지", "합방 │ 5인 내전 결승",
  "<b>굵게</b> & \"따옴표\" 테스트", "그림 그리면서 수다", "24시간 켠왕 도전 13시간째", "요리방송: 김치찌개 끓이는 법과 인생 이야기 그리고 아주 긴 제목을 가진 방송입니다",
  "Just chatting, then ranked", "Speedrun practice (any%)", "주말 등산 생중계"];
const CATEGORIES = ["리그 오브 레전드", "발로란트", "토크/캠방", "마인크래프트", "종합 게임", "로스트아크", "음악", "먹방", "StarCraft", null];
const HISTORY = 576;
const STEP = 300;
const WINDOW = 12;

const CAUSES = {
  title_change: ["방송 제목이 바뀜", "the title changed"],
  category_change: ["카테고리가 바뀜", "the category changed"],
  raid: ["다른 채널에서 시청자가 넘어옴", "viewers came over from another channel"],
};

/** mulberry32: the same numbers every run. */
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let x = Math.imul(a ^ (a >>> 15), 1 | a);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

/** @param {number} [channels] how many lives there are */
export function createModel(channels = 140) {
  const start = Math.floor(Date.now() / 1000);
  const list = Array.from({ length: channels }, (_, i) => makeChannel(i));
  const events = [];
  const model = {
    tick: 0,
    simulated: true,
    broken: new Set(),
    list,
    events,
    now: () => timeOf(model, HISTORY + model.tick),
    start,
  };
  for (const channel of list) for (const s of channel.surges) addEvent(model, channel, s, "ANALYZED");
  events.sort((a, b) => a.step - b.step);
  events.forEach((event, i) => {
    event.id = i + 1;
  });
  if (events.length > 3) {
    events[events.length - 2].status = "FAILED";
    events[events.length - 2].analysis = null;
  }
  return model;
}

function makeChannel(i) {
  const rnd = random(i * 7919 + 13);
  const platform = i % 5 < 3 ? "chzzk" : "soop";
  const name = NAMES[i % NAMES.length] + (i >= NAMES.length ? ` ${Math.floor(i / NAMES.length) + 1}` : "");
  const surges = i % 17 === 2 ? [HISTORY - 6 - Math.floor(rnd() * 60), HISTORY - 250] : [];
  if (i === 2) surges[0] = HISTORY - 8;
  return {
    i,
    platform,
    id: platform === "chzzk" ? hex(rnd) : `bj${name.codePointAt(0).toString(36)}${i}`,
    name,
    title: TITLES[i % TITLES.length],
    category: CATEGORIES[(i * 3) % CATEGORIES.length],
    base: Math.round(28000 / (i + 1) ** 0.9) + 12,
    phase: rnd() * 6.28,
    wobble: 0.02 + rnd() * 0.05,
    adult: i % 23 === 9,
    age: 1800 + Math.floor(rnd() * 40000),
    surges,
    seed: Math.floor(rnd() * 1e9),
  };
}

function hex(rnd) {
  return Array.from({ length: 32 }, () => Math.floor(rnd() * 16).toString(16)).join("");
}

export function timeOf(model, step) {
  return step <= HISTORY ? model.start - (HISTORY - step) * STEP : model.start + (step - HISTORY) * 2;
}

/** Where a collection lies on the five-minute axis: those made while running are two seconds apart. */
function place(step) {
  return step <= HISTORY ? step : HISTORY + (step - HISTORY) * (2 / STEP);
}

export function viewersAt(channel, step) {
  const noise = random(channel.seed + step * 31)() - 0.5;
  let level = channel.base * (1 + 0.25 * Math.sin(place(step) / 46 + channel.phase) + channel.wobble * noise * 2);
  for (const s of channel.surges) {
    if (step >= s) level += channel.base * 1.6 * Math.exp(-(place(step) - place(s)) / 14);
  }
  return Math.max(1, Math.round(level));
}

function average(channel, step) {
  let sum = 0;
  for (let k = 0; k < WINDOW; k++) sum += viewersAt(channel, step - k);
  return sum / WINDOW;
}

export function live(model, channel) {
  const step = HISTORY + model.tick;
  const viewers = viewersAt(channel, step);
  const spark = Array.from({ length: 24 }, (_, k) => viewersAt(channel, step - 23 + k));
  return {
    platform: channel.platform,
    channel_id: channel.id,
    channel_name: channel.name,
    title: channel.title,
    category: channel.category,
    viewers,
    delta: channel.i % 31 === 30 ? null : viewers - viewersAt(channel, step - 1),
    moving_average: Math.round(average(channel, step) * 10) / 10,
    surge: channel.surges.some((s) => step >= s && place(step) - place(s) < 12),
    started_at: iso(model.start - channel.age),
    adult: channel.adult,
    url: channel.platform === "chzzk" ? `https://chzzk.naver.com/live/${channel.id}` : `https://play.sooplive.co.kr/${channel.id}`,
    sparkline: spark,
  };
}

export function series(model, channel, from, to, stepSeconds) {
  const at = [];
  const viewers = [];
  const moving = [];
  let bucket = null;
  for (let step = 0; step <= HISTORY + model.tick; step++) {
    const time = timeOf(model, step);
    if (time < from || time > to || (step > 300 && step < 318 && channel.i % 2 === 0)) continue;
    const v = viewersAt(channel, step);
    if (!stepSeconds) {
      at.push(time);
      viewers.push(v);
      moving.push(Math.round(average(channel, step)));
    } else if (bucket !== Math.floor(time / stepSeconds)) {
      bucket = Math.floor(time / stepSeconds);
      at.push(bucket * stepSeconds);
      viewers.push(v);
      moving.push(Math.round(average(channel, step)));
    } else {
      viewers[viewers.length - 1] = Math.max(viewers[viewers.length - 1], v);
    }
  }
  const surges = model.events
    .filter((e) => e.channel_id === channel.id)
    .map((e) => ({ event_id: e.id, at: timeOf(model, e.step), viewers: e.viewers }))
    .filter((s) => s.at >= from && s.at <= to);
  return { platform: channel.platform, channel_id: channel.id, step: stepSeconds, at, viewers, moving_average: moving, surges };
}

/** A surge begins now: an event PENDING, to be analysed by `analyse`. */
export function surge(model, channel) {
  channel.surges.push(HISTORY + model.tick);
  const event = addEvent(model, channel, HISTORY + model.tick, "PENDING");
  event.id = model.events.length;
  return event;
}

export function analyse(event) {
  const codes = Object.keys(CAUSES).slice(0, 1 + (event.id % 3));
  const [ko, en] = CAUSES[codes[0]];
  event.status = "ANALYZED";
  event.analysis = {
    engine: "rule-based",
    summary: {
      ko: `시청자가 기준치의 ${event.ratio.toFixed(1)}배로 늘었습니다. 가장 그럴듯한 이유: ${ko}.`,
      en: `Viewers rose to ${event.ratio.toFixed(1)} times the baseline. Most likely cause: ${en}.`,
    },
    causes: codes.map((code, k) => ({ code, ko: CAUSES[code][0], en: CAUSES[code][1], weight: [0.7, 0.2, 0.1][k] })),
    confidence: 0.55 + (event.id % 4) / 10,
    analyzed_at: iso(Date.parse(event.detected_at) / 1000 + 3),
  };
}

function addEvent(model, channel, step, status) {
  const viewers = viewersAt(channel, step);
  const baseline = Math.round(average(channel, step - 1));
  const event = {
    id: 0,
    step,
    platform: channel.platform,
    channel_id: channel.id,
    channel_name: channel.name,
    title: channel.title,
    category: channel.category,
    detected_at: iso(timeOf(model, step)),
    viewers,
    baseline,
    ratio: viewers / baseline,
    zscore: 4 + (channel.i % 7) * 0.8,
    status: "PENDING",
    analysis: null,
  };
  if (status === "ANALYZED") analyse(event);
  model.events.push(event);
  return event;
}

export function iso(seconds) {
  return new Date((seconds + 9 * 3600) * 1000).toISOString().replace(/\.\d+Z$/, "+09:00");
}
