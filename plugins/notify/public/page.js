/** Rules, what was said by them, and the word that stops an escalation. */
export const WORDS = {
  ko: {
    title: "알림", rules: "규칙", notices: "보낸 알림", name: "이름", event: "이벤트", channels: "채널", group: "묶음", quiet: "조용한 시간",
    escalate: "확인이 없으면", none: "규칙이 없습니다. maru.lua의 plugins.notify.rules에 적습니다.", nothing: "아직 보낸 알림이 없습니다.",
    what: "내용", when: "언제", state: "상태", where: "어디로", ack: "확인", seconds: "{n}초", locked: "운영자만 볼 수 있습니다",
    locked_text: "`maru admin-url`이 알려 주는 주소로 대시보드를 여세요.", after: "{n}초 뒤 {to}",
    waiting: "대기", said: "보냄", acknowledged: "확인함", sent: "전달", failed: "실패",
  },
  en: {
    title: "Notifications", rules: "Rules", notices: "What was said", name: "Name", event: "Event", channels: "Channels", group: "Grouped",
    quiet: "Quiet hours", escalate: "If nobody acknowledges", none: "There are no rules. They stand in maru.lua, plugins.notify.rules.",
    nothing: "Nothing was said yet.", what: "What", when: "When", state: "State", where: "Where to", ack: "Acknowledge", seconds: "{n} s",
    locked: "For operators only", locked_text: "Open the dashboard by the link that `maru admin-url` prints.", after: "after {n} s {to}",
    waiting: "waiting", said: "said", acknowledged: "acknowledged", sent: "delivered", failed: "failed",
  },
};

/** On a phone a row is a card of two columns: these take both. */
const WIDE = "grid-column:1/-1";

/**
 * @param {HTMLElement} root
 * @param {import("../../../public/app.js").PageContext} ctx
 * @returns {() => void} takes the page away
 */
export function mount(root, ctx) {
  const { html, render } = ctx.markup;
  ctx.title.value = ctx.words(WORDS)("title");
  render(html`<${page(ctx)} />`, root);
  return () => render(null, root);
}

function ruleRow(html, say, rule) {
  const steps = (rule.escalate || []).map((step) => say("after", { n: step.after, to: step.channels.join(", ") }));
  return html`
    <tr key=${rule.name}>
      <td style=${WIDE}><b>${rule.name}</b></td><td style=${WIDE} data-label=${say("event")}><code>${rule.event}</code></td>
      <td data-label=${say("channels")}>${rule.channels.join(", ")}</td>
      <td class="muted" data-label=${say("group")}>${rule.group ? say("seconds", { n: rule.group }) : "–"}</td>
      <td class="muted" data-label=${say("quiet")}>${rule.quiet || "–"}</td>
      <td class="muted" style=${WIDE} data-label=${say("escalate")}>${steps.join(" · ") || "–"}</td>
    </tr>`;
}

function page(ctx) {
  const { html, useState } = ctx.markup;
  const { useNow, useResource, useSignal } = ctx.hooks;
  const { Note } = ctx.components;
  const say = ctx.words(WORDS);

  return function Page() {
    const lang = useSignal(ctx.lang), now = useNow();
    const all = useResource((signal) => ctx.api.get("/api/notify", null, signal), [], { stream: ctx.stream, every: 5000 });
    const [problem, setProblem] = useState("");

    const acknowledge = async (id) => {
      try {
        await ctx.api.post(`/api/notify/${id}/acknowledge`);
        setProblem("");
      } catch (error) {
        setProblem(error.message);
      }
      all.reload();
    };

    if (all.error && (all.error.status === 401 || all.error.status === 403)) {
      return html`<${Note} title=${say("locked")}><p class="muted">${say("locked_text")}</p></${Note}>`;
    }
    if (!all.data && !all.error) return null;
    const rules = all.data?.rules || [], notices = all.data?.notices || [];
    return html`
      <section aria-labelledby="notify-title">
        <div class="section-head"><h1 id="notify-title">${say("title")}</h1></div>
        ${(problem || all.error) && html`<p class="bad-text" role="alert">${problem || all.error.message}</p>`}
        <section class="section"><div class="section-head"><h2>${say("rules")}</h2></div>
        ${all.data && !rules.length && html`<p class="muted">${say("none")}</p>`}
        ${rules.length > 0 && html`
          <div style="overflow-x:auto"><table class="data">
            <thead><tr>${["name", "event", "channels", "group", "quiet", "escalate"].map((key) =>
              html`<th scope="col" key=${key}>${say(key)}</th>`)}</tr></thead>
            <tbody>${rules.map((rule) => ruleRow(html, say, rule))}</tbody>
          </table></div>`}</section>
        <section class="section"><div class="section-head"><h2>${say("notices")}</h2></div>
        ${all.data && !notices.length && html`<p class="muted">${say("nothing")}</p>`}
        ${notices.length > 0 && html`
          <div style="overflow-x:auto"><table class="data">
            <thead><tr><th scope="col">${say("what")}</th><th scope="col">${say("where")}</th><th scope="col">${say("state")}</th>
              <th scope="col">${say("when")}</th><th scope="col"></th></tr></thead>
            <tbody>${notices.map((notice) => html`
              <tr key=${notice.id}>
                <td style=${WIDE}><div><strong>${notice.title}</strong>${notice.count > 1 ? ` ×${notice.count}` : ""}
                  <div class="muted" style="white-space:pre-wrap;max-height:6em;overflow:auto">${notice.lines}</div></div></td>
                <td style=${WIDE} data-label=${say("where")}>${notice.deliveries.map((one) => html`<div key=${one.id} title=${one.message}>
                  ${one.channel} <span class=${one.state === "failed" ? "bad-text" : "muted"}>${say(one.state)}</span>
                  ${one.message && html`<span class="muted"> ${one.message}</span>`}</div>`)}</td>
                <td style="white-space:nowrap" data-label=${say("state")}>${say(notice.state)}</td>
                <td class="muted" style="white-space:nowrap" data-label=${say("when")}>${ctx.format.ago(notice.last_at, now, lang)}</td>
                <td>${notice.state === "said" && html`
                  <button class="button" onClick=${() => acknowledge(notice.id)}>${say("ack")}</button>`}</td>
              </tr>`)}</tbody>
          </table></div>`}</section>
      </section>`;
  };
}
