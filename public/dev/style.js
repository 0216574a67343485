/** How the overlay looks; in the shadow of its element, so that no page's rules reach it. */
export const STYLE = `
:host {
  --paper: light-dark(#fffdf9, #1d1814); --raised: light-dark(#f6f0e6, #15110e); --line: light-dark(#e5dccd, #352c24);
  --ink: light-dark(#2a2119, #efe6d9); --muted: light-dark(#6d5f50, #a8998a); --bad: light-dark(#b3261e, #ff8a7a);
  --bad-soft: light-dark(#fbe3de, #43201a); --ok: light-dark(#2b7446, #74cf98);
  font: 400 14px/1.5 "Pretendard Variable", Pretendard, -apple-system, "Apple SD Gothic Neo", "Segoe UI", "Noto Sans KR", "Noto Sans CJK KR", "Malgun Gothic", system-ui, sans-serif;
}
:host(:lang(ko)) { word-break: keep-all; }
* { box-sizing: border-box; margin: 0; }
dialog {
  width: min(880px, calc(100vw - 24px)); max-height: calc(100dvh - 24px); margin: 6vh auto auto; padding: 0; overflow: auto;
  border: 1px solid var(--bad); border-radius: 12px; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  box-shadow: 0 24px 80px #0008; outline: none; animation: rise .18s ease-out;
}
dialog::backdrop { background: #15110e99; }
.boards { height: 4px; background: repeating-linear-gradient(90deg, var(--bad) 0 88px, transparent 88px 90px, var(--bad) 90px 132px, transparent 132px 134px, var(--bad) 134px 250px, transparent 250px 252px); }
section { padding: 18px 22px 16px; }
section + section { border-top: 1px solid var(--line); }
h2 { color: var(--bad); font-size: 15px; font-weight: 650; }
.message { margin-top: 6px; font-size: 17px; font-weight: 600; line-height: 1.4; white-space: pre-wrap; }
.at { margin-top: 4px; color: var(--muted); }
.at, .lines, code { font-family: ui-monospace, "SF Mono", "Cascadia Mono", D2Coding, "DejaVu Sans Mono", "Noto Sans Mono CJK KR", monospace; font-size: 12.5px; }
.lines { margin: 12px 0; padding: 10px 0; overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--raised); line-height: 1.65; tab-size: 4; }
.line { display: block; width: max-content; min-width: 100%; padding-inline-end: 16px; white-space: pre; }
.line i { position: sticky; left: 0; display: inline-block; width: 56px; margin-inline-end: 14px; padding-inline-end: 10px; border-inline-end: 1px solid var(--line); background: var(--raised); color: var(--muted); font-style: normal; text-align: end; user-select: none; }
.failing { background: var(--bad-soft); }
.failing i { background: var(--bad-soft); border-color: var(--bad); color: var(--bad); font-weight: 700; }
.kept { color: var(--ok); font-weight: 550; }
.kept.gone { color: var(--bad); }
.hint { margin-top: 4px; color: var(--muted); }
code { padding: 1px 5px; border-radius: 4px; white-space: nowrap; background: var(--raised); color: var(--ink); }
footer { position: sticky; bottom: 0; padding: 10px 22px; border-top: 1px solid var(--line); background: var(--paper); text-align: end; }
.close { min-height: 34px; padding: 4px 14px; border: 1px solid var(--line); border-radius: 6px; background: var(--raised); color: inherit; font: inherit; font-weight: 500; cursor: pointer; }
.close:hover { border-color: var(--bad); }
:focus-visible { outline: 2px solid var(--bad); outline-offset: 2px; }
@keyframes rise { from { transform: translateY(10px); opacity: 0; } }
@media (prefers-reduced-motion: reduce) { dialog { animation: none; } }
@media (max-width: 560px) {
  dialog { margin-top: 12px; }
  section { padding: 14px 14px 12px; }
  .message { font-size: 15.5px; }
  .line i { width: 42px; margin-inline-end: 10px; padding-inline-end: 7px; }
  footer { padding: 10px 14px; }
  .close { width: 100%; min-height: 42px; }
}
`;
