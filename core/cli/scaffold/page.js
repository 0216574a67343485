/** The page of NAME. The dashboard mounts it at #/NAME and gives it what its own pages have. */
const TEXT = {
  ko: {
    title: "NAME",
//@if route
    write: "한 줄 남기기", send: "남기기", none: "아직 아무것도 없습니다.", when: "언제", line: "내용",
//@end
//@if !route
    body: "plugins/NAME/public/page.js를 고치면 이 페이지가 바뀝니다.",
//@end
  },
  en: {
    title: "NAME",
//@if route
    write: "Leave a line", send: "Leave it", none: "There is nothing yet.", when: "When", line: "Line",
//@end
//@if !route
    body: "This page changes when you change plugins/NAME/public/page.js.",
//@end
  },
};

/**
 * @param {HTMLElement} root
 * @param {import("../../../public/app.js").PageContext} ctx
 * @returns {() => void} takes the page away
 */
export function mount(root, ctx) {
  const { html, render } = ctx.markup;
  ctx.title.value = TEXT[ctx.lang.value].title;
  render(html`<${page(ctx)} />`, root);
  return () => render(null, root);
}
//@if route

function page(ctx) {
  const { html, useEffect, useState } = ctx.markup;
  const { useNow, useResource, useSignal } = ctx.hooks;
  return function Page() {
    const lang = useSignal(ctx.lang);
    const now = useNow();
    const lines = useResource((signal) => ctx.api.get("/api/NAME", null, signal), [], { stream: ctx.stream });
    const [text, setText] = useState("");
    const [problem, setProblem] = useState("");
    const say = TEXT[lang];

    useEffect(() => {
      const source = new EventSource("/api/NAME/stream");
      source.addEventListener("line", lines.reload);
      return () => source.close();
    }, []);

    const send = async (event) => {
      event.preventDefault();
      try {
        await ctx.api.post("/api/NAME", { text });
        setText("");
        setProblem("");
        lines.reload();
      } catch (error) {
        setProblem(error.message);
      }
    };

    return html`
      <section aria-labelledby="NAME-title">
        <div class="section-head"><h1 id="NAME-title">${say.title}</h1></div>
        <form class="toolbar" onSubmit=${send}>
          <input class="field" style="flex:1" value=${text} maxlength="280" required aria-label=${say.write}
            placeholder=${say.write} onInput=${(event) => setText(event.target.value)} />
          <button class="button">${say.send}</button>
        </form>
        ${(problem || lines.error) && html`<p class="bad-text" role="alert">${problem || lines.error.message}</p>`}
        ${lines.data?.lines.length === 0 && html`<p class="muted">${say.none}</p>`}
        ${lines.data?.lines.length > 0 && html`
          <table class="data">
            <thead><tr><th scope="col">${say.line}</th><th scope="col" style="width:110px">${say.when}</th></tr></thead>
            <tbody>${lines.data.lines.map((line) => html`
              <tr key=${line.id}><td>${line.text}</td>
                <td class="muted">${ctx.format.ago(line.at, now, lang)}</td></tr>`)}</tbody>
          </table>`}
      </section>`;
  };
}
//@end
//@if !route

function page(ctx) {
  const { html } = ctx.markup;
  const { useSignal } = ctx.hooks;
  return function Page() {
    const say = TEXT[useSignal(ctx.lang)];
    return html`
      <section aria-labelledby="NAME-title">
        <div class="section-head"><h1 id="NAME-title">${say.title}</h1></div>
        <p class="muted">${say.body}</p>
      </section>`;
  };
}
//@end
