/** A run as a picture: steps in layers, how each stands, the ways that were gone and those that may be. */
import { html, useEffect, useState } from "../../lib/html.js";
import { t } from "../../lib/i18n.js";
import { drawn, place } from "../../lib/layers.js";
import { took } from "./time.js";

const NODE = { width: 168, height: 50 };
const GAP = { along: 56, across: 22 };
const EDGE = 26;
const LEAST = 0.72; /* the picture shrinks as far as that to fit, then it is scrolled */
const NARROW = "(max-width: 720px)";

/** @param {{run: any, now: number, chosen: string, choose: (name: string) => void}} props */
export function Graph({ run, now, chosen, choose }) {
  const down = useNarrow();
  const { names, edges, start, last, counts } = drawn(run);
  const { nodes, ways, layers, widest } = place(names, edges, start);
  const size = boxOf(layers, widest, ways.some((w) => w.back), down);
  const at = new Map(nodes.map((n) => [n.name, centre(n, widest, nodes, ways, down)]));
  return html`
    <div class="flow-box" tabindex="0" role="group" aria-label=${t("flow.picture")}>
      <svg class="flow" viewBox=${`0 0 ${size.width} ${size.height}`} style=${`max-width:${size.width}px;min-width:${Math.round(size.width * LEAST)}px`} data-flow>
        <defs>${["went", "may", "error"].map((kind) => html`<marker key=${kind} id=${`arrow-${kind}`} class=${`way-${kind}`} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" /></marker>`)}</defs>
        ${ways.map((w) => html`<path key=${`${w.from} ${w.to}`} class=${`way way-${w.kind ?? "may"}`} d=${wayPath(w, at, size, down, widest, nodes, ways)} marker-end=${`url(#arrow-${w.kind ?? "may"})`} />`)}
        ${nodes.map((n) => html`<${Node} key=${n.name} name=${n.name} at=${at.get(n.name)} step=${last.get(n.name)} counts=${counts.get(n.name)} now=${now} chosen=${chosen === n.name} choose=${choose} />`)}
      </svg>
    </div>`;
}

function useNarrow() {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const query = matchMedia(NARROW);
    const look = () => setNarrow(query.matches);
    query.addEventListener("change", look);
    return () => query.removeEventListener("change", look);
  }, []);
  return narrow;
}

function boxOf(layers, widest, hasBack, down) {
  const along = layers * (down ? NODE.height : NODE.width) + (layers - 1) * GAP.along + 2 * EDGE;
  const across = widest * (down ? NODE.width : NODE.height) + (widest - 1) * GAP.across + 2 * EDGE + (hasBack ? EDGE : 0);
  return down ? { width: across, height: along } : { width: along, height: across };
}

/** A layer's slots stand in the middle of the widest one's. */
function centre({ layer, slot }, widest, nodes, ways, down) {
  const row = rowCount(layer, nodes, ways);
  const side = down ? NODE.width : NODE.height;
  const across = EDGE + side / 2 + (slot + (widest - row) / 2) * (side + GAP.across);
  const along = EDGE + (down ? NODE.height : NODE.width) / 2 + layer * ((down ? NODE.height : NODE.width) + GAP.along);
  return down ? { x: across, y: along } : { x: along, y: across };
}

function rowCount(layer, nodes, ways) {
  const bends = ways.flatMap((w) => w.through).filter((b) => b.layer === layer).length;
  return nodes.filter((n) => n.layer === layer).length + bends;
}

/** From border to border; what goes back runs along the edge of the picture. */
function wayPath(way, at, size, down, widest, nodes, ways) {
  const from = at.get(way.from);
  const to = at.get(way.to);
  const half = down ? NODE.height / 2 : NODE.width / 2;
  if (way.back) return backPath(from, to, way.from === way.to, size, down);
  const points = [step(from, half, down), ...way.through.map((b) => centre(b, widest, nodes, ways, down)), step(to, -half - 2, down)];
  let d = `M${points[0].x} ${points[0].y}`;
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1], points[i]];
    const middle = down ? (a.y + b.y) / 2 : (a.x + b.x) / 2;
    d += down ? `C${a.x} ${middle} ${b.x} ${middle} ${b.x} ${b.y}` : `C${middle} ${a.y} ${middle} ${b.y} ${b.x} ${b.y}`;
  }
  return d;
}

const step = (point, by, down) => (down ? { x: point.x, y: point.y + by } : { x: point.x + by, y: point.y });

function backPath(from, to, self, size, down) {
  const side = down ? NODE.width / 2 : NODE.height / 2;
  if (self) {
    return down ? `M${from.x + side} ${from.y - 10}c26 -6 26 26 2 20` : `M${from.x - 14} ${from.y + side}c-8 24 36 24 28 2`;
  }
  const far = (down ? size.width : size.height) - EDGE / 2;
  return down
    ? `M${from.x + side} ${from.y}C${far} ${from.y} ${far} ${from.y} ${far} ${(from.y + to.y) / 2}S${far} ${to.y} ${to.x + side + 2} ${to.y}`
    : `M${from.x} ${from.y + side}C${from.x} ${far} ${from.x} ${far} ${(from.x + to.x) / 2} ${far}S${to.x} ${far} ${to.x} ${to.y + side + 2}`;
}

function Node({ name, at, step: s, counts, now, chosen, choose }) {
  const state = s?.state ?? "none";
  const items = counts?.items;
  const many = counts && (counts.all > 1 || items) ? (counts.done < counts.all ? `${counts.done}/${counts.all}` : `×${counts.all}`) : "";
  const press = (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(name);
    }
  };
  const label = `${name}: ${t(`flow.step.${state}`)}${many ? ` ${many}` : ""}`;
  return html`
    <g class=${`step step-${state}`} transform=${`translate(${at.x - NODE.width / 2} ${at.y - NODE.height / 2})`} role="button" tabindex="0" aria-label=${label} aria-pressed=${chosen}
      onClick=${() => choose(name)} onKeyDown=${press} data-step=${name} data-state=${state}>
      <title>${label}${s?.error ? `\n${s.error}` : ""}</title>
      ${items && [8, 4].map((by) => html`<rect key=${by} class="step-box step-behind" x=${by} y=${by} width=${NODE.width} height=${NODE.height} rx="7" />`)}
      <rect class="step-box" width=${NODE.width} height=${NODE.height} rx="7" />
      <rect class="step-mark" width="5" height=${NODE.height} rx="2.5" />
      ${items && counts.all > 0 && html`<rect class="step-share" x="15" y="43" width=${((NODE.width - 25) * counts.done) / counts.all} height="3" rx="1.5" /><rect class="step-share step-share-bad" x=${15 + ((NODE.width - 25) * counts.done) / counts.all} y="43" width=${((NODE.width - 25) * counts.failed) / counts.all} height="3" rx="1.5" />`}
      <text class="step-name" x="15" y="21">${short(name, 20)}</text>
      <text class="step-how" x="15" y=${items ? 36 : 38}>${t(`flow.step.${state}`)}${s?.waits_for ? `: ${short(s.waits_for, 10)}` : ""}</text>
      <text class="step-time" x=${NODE.width - 10} y=${items ? 36 : 38} text-anchor="end">${many || (s ? took(s, now) : "")}</text>
    </g>`;
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
