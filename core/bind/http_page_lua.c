/* http_page_lua.c -- a handler's error as a page, for whoever develops the plugin in a browser. */
#include <stdio.h>
#include <string.h>

#include "bind/http_internal.h"
#include "vm/frame.h"
#include "vm/host.h"

struct words {
    const char *lang, *title, *serves, *again, *traceback;
};

static const struct words english = {"en", "The handler failed", "raised in",
                                     "Save a fix: this page loads again by itself.",
                                     "How it came there"};
static const struct words korean = {
    "ko", "핸들러가 실패했습니다",
    "발생한 곳:", "고쳐서 저장하면 이 페이지가 저절로 다시 열립니다.", "호출 경로"};

/* Korean when the browser names it before English. */
static const struct words *choose(struct str accepted)
{
    for (size_t i = 0; i + 1 < accepted.n; i++) {
        bool begins = i == 0 || accepted.p[i - 1] == ',' || accepted.p[i - 1] == ' ';
        if (begins && !strncmp(accepted.p + i, "ko", 2))
            return &korean;
        if (begins && !strncmp(accepted.p + i, "en", 2))
            return &english;
    }
    return &english;
}

static bool has(struct str text, struct str part)
{
    for (size_t i = 0; i + part.n <= text.n; i++) {
        if (!memcmp(text.p + i, part.p, part.n))
            return true;
    }
    return false;
}

static void add_text(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        switch (text.p[i]) {
        case '&':
            buf_add_c(out, "&amp;");
            break;
        case '<':
            buf_add_c(out, "&lt;");
            break;
        case '>':
            buf_add_c(out, "&gt;");
            break;
        case '"':
            buf_add_c(out, "&quot;");
            break;
        default:
            buf_add_char(out, text.p[i]);
        }
    }
}

static void add_lines(struct buf *out, const struct frame *frame)
{
    buf_add_c(out, "<pre class=\"lines\">");
    for (int i = frame->line - FRAME_AROUND; i <= frame->line + FRAME_AROUND; i++) {
        struct str text = i > 0 ? frame_line(frame->file, i) : str_n(NULL, 0);
        if (!text.p)
            continue;
        buf_printf(out, "<span class=\"line%s\"><i>%d</i>", i == frame->line ? " failing" : "", i);
        add_text(out, text);
        buf_add_c(out, "\n</span>");
    }
    buf_add_c(out, "</pre>\n");
}

static void write_page(struct buf *out, struct task *task, const struct words *w,
                       const char *message, const char *traceback)
{
    struct vm *vm = task_vm(task);
    struct frame frame;
    bool found = frame_find(vm_bundle(vm), message, &frame);
    struct str said = frame.message;
    if (!found)
        found = frame_find(vm_bundle(vm), traceback, &frame);
    buf_printf(out,
               "<!doctype html>\n<html lang=\"%s\" data-maru-error>\n<meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
               "<title>%s</title>\n<link rel=\"stylesheet\" href=\"/dev/error.css\">\n"
               "<script type=\"module\" src=\"/dev/overlay.js\"></script>\n"
               "<main>\n<h1>%s</h1>\n<p class=\"message\">",
               w->lang, w->title, w->title);
    add_text(out, said);
    buf_add_c(out, "</p>\n");
    if (found) {
        buf_add_c(out, "<p class=\"at\">");
        add_text(out, str_c(frame.at));
        buf_add_c(out, "</p>\n");
        add_lines(out, &frame);
    }
    buf_printf(out, "<p class=\"where\">%s <code>", w->serves);
    add_text(out, str_c(task_label(task)));
    buf_add_c(out, "</code> · <code>");
    add_text(out, str_c(vm_label(vm)));
    buf_printf(out, "</code></p>\n<p class=\"again\">%s</p>\n", w->again);
    if (*traceback) {
        buf_printf(out, "<details><summary>%s</summary><pre>", w->traceback);
        add_text(out, str_c(traceback));
        buf_add_c(out, "</pre></details>\n");
    }
    buf_add_c(out, "</main>\n</html>\n");
}

bool http_answer_page(struct http_request *r, struct task *task, const char *message,
                      const char *traceback)
{
    struct buf out = {0};
    if (!vm_host(task_vm(task))->development ||
        !has(request_header(r, STR("accept")), STR("text/html")))
        return false;
    write_page(&out, task, choose(request_header(r, STR("accept-language"))), message, traceback);
    respond_header(r, STR("cache-control"), STR("no-store"));
    respond_header(r, STR("content-security-policy"),
                   STR("default-src 'self'; style-src 'self' "
                       "'unsafe-inline'"));
    respond_take(r, 500, STR("text/html; charset=utf-8"), &out);
    return true;
}
