/* ticket.c -- a request's place at its provider, and what it costs. */
#include <stddef.h>

#include "base/clock.h"
#include "base/mem.h"
#include "model/private.h"
#include "observe/metrics.h"

static double cost_of(const struct provider *p, const struct model_usage *usage)
{
    double plain = (double)(usage->tokens_in - usage->tokens_cached);
    if (usage->embeds)
        return (double)usage->tokens_in * p->price_embed / 1e6;
    return (plain * p->price_in + (double)usage->tokens_cached * p->price_cached +
            (double)usage->tokens_out * p->price_out) /
           1e6;
}

static void ticket_free(struct model_ticket *t)
{
    mem_free(t->plugin);
    mem_free(t);
}

/* -- in and out ----------------------------------------------------------------------------- */

/* Under the lock: the next ones in the line go in, and their lanes are told. */
static void let_in(struct provider *p)
{
    while (p->inside < p->concurrency && !list_empty(&p->waiting)) {
        struct model_ticket *t = list_entry(p->waiting.next, struct model_ticket, link);
        list_remove(&t->link);
        p->inside++;
        t->inside = t->posted = true;
        lane_post(t->lane, &t->message);
    }
}

static void step_out(struct provider *p)
{
    p->inside--;
    let_in(p);
}

/* On the lane.  One that was abandoned meanwhile has a place that nobody wants. */
static void on_posted(struct lane_message *message)
{
    struct model_ticket *t = (struct model_ticket *)message;
    t->posted = false;
    if (!t->gone) {
        t->entered(t->arg);
        return;
    }
    pthread_mutex_lock(&t->model->lock);
    step_out(&t->model->providers[t->provider]);
    pthread_mutex_unlock(&t->model->lock);
    ticket_free(t);
}

struct model_ticket *model_enter(struct model *model, int provider, const char *plugin,
                                 const struct model_estimate *estimate, struct lane *lane,
                                 model_entered_fn *entered, void *arg, bool *at_once,
                                 struct err *err)
{
    struct provider *p = &model->providers[provider];
    struct model_usage most = {.tokens_in = estimate->tokens_in,
                               .tokens_out = estimate->tokens_out,
                               .embeds = estimate->embeds};
    struct model_ticket *t = mem_zero(1, sizeof *t);
    t->model = model;
    t->provider = provider;
    t->plugin = mem_strdup(plugin);
    t->lane = lane;
    t->tokens = most.tokens_in + most.tokens_out;
    t->cost = cost_of(p, &most);
    t->entered = entered;
    t->arg = arg;
    t->message.fn = on_posted;
    t->started = clock_ns();
    list_init(&t->link);
    pthread_mutex_lock(&model->lock);
    bool ok = budget_set_aside(model, plugin, t->tokens, t->cost, err);
    t->inside = *at_once = ok && p->inside < p->concurrency && list_empty(&p->waiting);
    if (*at_once)
        p->inside++;
    else if (ok)
        list_push_back(&p->waiting, &t->link);
    pthread_mutex_unlock(&model->lock);
    if (!ok) {
        ticket_free(t);
        return NULL;
    }
    return t;
}

/* -- what it took --------------------------------------------------------------------------- */

static void count(const char *name, const char *help, const char *plugin, const char *source,
                  const char *more, const char *value, double by)
{
    struct buf labels = {0};
    metrics_label(&labels, "plugin", str_c(plugin));
    metrics_label(&labels, "provider", str_c(source));
    if (more)
        metrics_label(&labels, more, str_c(value));
    metric_add(metrics_counter(name, help, labels.p), by);
    buf_free(&labels);
}

static void count_all(const struct model *model, const struct spent *s, const char *outcome)
{
    static const char tokens[] = "Tokens read and written by language models.";
    count("maru_model_requests_total", "Requests of plugins to language models.", s->plugin,
          s->source, "outcome", outcome, 1);
    count("maru_model_tokens_total", tokens, s->plugin, s->source, "direction", "in",
          (double)s->tokens_in);
    count("maru_model_tokens_total", tokens, s->plugin, s->source, "direction", "out",
          (double)s->tokens_out);
    count("maru_model_cost_total", "What language models cost, in model.currency.", s->plugin,
          s->source, "currency", model->currency, s->cost);
}

static struct spent spent_of(const struct model_ticket *t, const struct model_usage *usage)
{
    return (struct spent){
        .plugin = t->plugin,
        .source = t->model->providers[t->provider].shown.name,
        .requests = 1,
        .failures = usage->outcome == MODEL_FAILED,
        .tokens_in = usage->tokens_in,
        .tokens_out = usage->tokens_out,
        .cost = usage->cost,
    };
}

void model_leave(struct model_ticket *t, struct model_usage *usage, void (*written)(void *arg),
                 void *arg)
{
    struct model *model = t->model;
    struct provider *p = &model->providers[t->provider];
    usage->cost = cost_of(p, usage);
    struct spent spent = spent_of(t, usage);
    count_all(model, &spent, usage->outcome == MODEL_FAILED ? "failed" : "answered");
    metric_observe(p->seconds, (double)(clock_ns() - t->started) / 1e9);
    pthread_mutex_lock(&model->lock);
    budget_give_back(model, t->plugin, t->tokens, t->cost);
    spend_add(model, &spent, t->lane, written, arg);
    step_out(p);
    pthread_mutex_unlock(&model->lock);
    ticket_free(t);
}

void model_abandon(struct model_ticket *t, bool sent)
{
    struct model *model = t->model;
    struct spent spent = {.plugin = t->plugin,
                          .source = model->providers[t->provider].shown.name,
                          .requests = 1,
                          .failures = 1,
                          .tokens_in = t->tokens,
                          .cost = t->cost};
    if (sent)
        count_all(model, &spent, "abandoned");
    pthread_mutex_lock(&model->lock);
    budget_give_back(model, t->plugin, t->tokens, t->cost);
    if (sent)
        spend_add(model, &spent, t->lane, NULL, NULL);
    bool posted = t->posted; /* let_in() may have done so just now */
    t->gone = true;
    if (!t->inside)
        list_remove(&t->link);
    else if (!posted)
        step_out(&model->providers[t->provider]);
    pthread_mutex_unlock(&model->lock);
    if (!posted)
        ticket_free(t);
}

void model_count_free(struct model *model, const char *plugin, const char *source)
{
    struct spent spent = {
        .plugin = (char *)(uintptr_t)plugin, .source = (char *)(uintptr_t)source, .requests = 1};
    count_all(model, &spent, "answered");
    pthread_mutex_lock(&model->lock);
    spend_add(model, &spent, NULL, NULL, NULL);
    pthread_mutex_unlock(&model->lock);
}
