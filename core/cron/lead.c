/* lead.c -- which of the nodes fires. */

#include "base/clock.h"
#include "base/mem.h"
#include "cron/private.h"
#include "observe/log.h"

/* A lease is renewed every quarter of its time, and trusted up to a tenth of it before its end:
 * clocks of two machines do not run equally fast, and a push takes a moment. */
enum { RENEWALS = 4, MARGIN = 10 };

bool cron_leads(const struct cron *cron)
{
    if (cron->idle || cron->stopped)
        return false;
    return !cron->record.lead || (cron->lead.leads && cron->mono_ns() < cron->lead.trust_until);
}

static void complain(struct cron *cron, const struct err *err)
{
    if (!cron->lead.failing)
        log_error("cron", "who leads is not known: %s", err->message);
    cron->lead.failing = true;
}

static void on_loaded(struct cron_load *load)
{
    struct cron *cron = load->arg;
    struct lead *l = &cron->lead;
    l->loading = false;
    if (load->err.code != ERR_NONE) {
        complain(cron, &load->err);
        l->ask_at = cron->mono_ns() + l->lease_ns / RENEWALS;
    } else if (!cron->stopped) {
        bool begins = !l->leads && cron->mono_ns() < l->trust_until;
        memories_merge(cron->memories, load->rows, load->count);
        l->leads = l->leads || begins;
        if (begins)
            log_info("cron", "this node leads (epoch %lld)", (long long)l->epoch);
        if (cron_leads(cron))
            entries_begin(cron);
        cron_arm(cron);
    }
    cron_rows_free(load->rows, load->count);
    mem_free(load);
}

static void load(struct cron *cron)
{
    struct lead *l = &cron->lead;
    struct cron_load *request = mem_zero(1, sizeof *request);
    if (l->loading) {
        mem_free(request);
        return;
    }
    l->loading = true;
    l->loaded_version = l->version;
    l->loaded_at = cron->mono_ns();
    request->lane = cron->lane;
    request->done = on_loaded;
    request->arg = cron;
    cron->record.load(cron->record.arg, request);
}

static void lose(struct cron *cron)
{
    if (cron->lead.leads)
        log_warn("cron", "this node does not lead any more");
    cron->lead.leads = false;
    cron->lead.trust_until = 0;
}

static void ask(struct cron *cron, bool resign);

/* A node that does not lead reads the record for those who look at it here. */
static void on_answer(struct cron_lead *request)
{
    struct cron *cron = request->arg;
    struct lead *l = &cron->lead;
    l->asking = false;
    if (request->err.code != ERR_NONE) {
        complain(cron, &request->err);
    } else {
        if (l->failing)
            log_info("cron", "the record of schedules answers again");
        l->failing = false;
        l->version = request->version;
        l->epoch = request->held ? request->epoch : 0;
        if (request->held)
            l->trust_until = l->asked_at + l->lease_ns - l->lease_ns / MARGIN;
        else
            lose(cron);
        if (!cron->stopped && ((request->held && !l->leads) || l->version != l->loaded_version ||
                               (!request->held && cron->mono_ns() >= l->loaded_at + l->lease_ns)))
            load(cron);
    }
    bool give_back = cron->stopped && request->held;
    mem_free(request);
    if (give_back)
        ask(cron, true);
    else if (!cron->ticking)
        cron_arm(cron);
}

/* Any thread: it is given back, or runs out. */
static void on_resigned(struct cron_lead *request)
{
    mem_free(request);
}

/* To resign is the last thing a node does: its lane may be gone when the answer comes. */
static void ask(struct cron *cron, bool resign)
{
    struct lead *l = &cron->lead;
    struct cron_lead *request = mem_zero(1, sizeof *request);
    request->lane = resign ? NULL : cron->lane;
    request->done = resign ? on_resigned : on_answer;
    request->arg = cron;
    request->resign = resign;
    request->lease_ns = l->lease_ns;
    request->epoch = l->epoch;
    l->asking = !resign;
    l->asked_at = cron->mono_ns();
    l->ask_at = l->asked_at + l->lease_ns / RENEWALS;
    cron->record.lead(cron->record.arg, request);
}

void lead_step(struct cron *cron)
{
    struct lead *l = &cron->lead;
    int64_t mono = cron->mono_ns();
    if (!cron->record.lead || cron->stopped)
        return;
    if (l->leads && mono >= l->trust_until)
        lose(cron);
    if (cron->idle && mono >= l->ask_at) {
        l->ask_at = mono + l->lease_ns;
        load(cron);
    } else if (!cron->idle && !l->asking && mono >= l->ask_at) {
        ask(cron, false);
    }
}

void lead_resign(struct cron *cron)
{
    if (cron->record.lead && cron->lead.epoch && !cron->lead.asking)
        ask(cron, true);
    cron->lead.leads = false;
    cron->lead.trust_until = 0;
}

bool cron_is_quiet(const struct cron *cron)
{
    return !cron->lead.asking && !cron->lead.loading;
}

int64_t lead_wait_ns(const struct cron *cron)
{
    const struct lead *l = &cron->lead;
    if (!cron->record.lead)
        return INT64_MAX;
    int64_t until = l->leads && l->trust_until < l->ask_at ? l->trust_until : l->ask_at;
    return l->asking && !l->leads ? l->lease_ns / RENEWALS : until - cron->mono_ns();
}
