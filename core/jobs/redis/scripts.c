/* redis/scripts.c -- the scripts of core/jobs/redis, each behind common.lua. */
#include "jobs/redis/scripts.h"

#include "base/mem.h"

extern const char redis_lua_batch[], redis_lua_cards[], redis_lua_cancel[], redis_lua_claim[],
    redis_lua_common[], redis_lua_decide[], redis_lua_step[], redis_lua_declare[],
    redis_lua_discard[], redis_lua_due[], redis_lua_end[], redis_lua_forgo[], redis_lua_known[],
    redis_lua_prune[], redis_lua_open_batch[], redis_lua_push[], redis_lua_put[],
    redis_lua_recount[], redis_lua_relay[], redis_lua_renew[], redis_lua_restore[],
    redis_lua_retry[], redis_lua_revoke[], redis_lua_rows[], redis_lua_see[], redis_lua_set_queue[],
    redis_lua_sweep[], redis_lua_why[];

struct redis_script redis_cancel = {redis_lua_cancel, ""};
struct redis_script redis_cards = {redis_lua_cards, ""};
struct redis_script redis_claim = {redis_lua_claim, ""};
struct redis_script redis_decide;
struct redis_script redis_declare_script = {redis_lua_declare, ""};
struct redis_script redis_discard = {redis_lua_discard, ""};
struct redis_script redis_due = {redis_lua_due, ""};
struct redis_script redis_end = {redis_lua_end, ""};
struct redis_script redis_forgo = {redis_lua_forgo, ""};
struct redis_script redis_known = {redis_lua_known, ""};
struct redis_script redis_open_batch = {redis_lua_open_batch, ""};
struct redis_script redis_prune = {redis_lua_prune, ""};
struct redis_script redis_push = {redis_lua_push, ""};
struct redis_script redis_recount = {redis_lua_recount, ""};
struct redis_script redis_relay = {redis_lua_relay, ""};
struct redis_script redis_renew = {redis_lua_renew, ""};
struct redis_script redis_restore = {redis_lua_restore, ""};
struct redis_script redis_retry = {redis_lua_retry, ""};
struct redis_script redis_revoke = {redis_lua_revoke, ""};
struct redis_script redis_rows = {redis_lua_rows, ""};
struct redis_script redis_see = {redis_lua_see, ""};
struct redis_script redis_set_queue = {redis_lua_set_queue, ""};
struct redis_script redis_sweep = {redis_lua_sweep, ""};
struct redis_script redis_why = {redis_lua_why, ""};

/* Ends, cancels and retries are parts of what a decision comes to. */
static void make_decide(void)
{
    redis_decide.text =
        mem_printf("%s%s%s%s"
                   "local function finish_all()\n%s\nend\n"
                   "local function cancel(ARGV)\n%s\nend\n"
                   "local function retry(ARGV)\n%s\nend\n%s",
                   redis_lua_common, redis_lua_put, redis_lua_batch, redis_lua_step, redis_lua_end,
                   redis_lua_cancel, redis_lua_retry, redis_lua_decide);
    redis_script_init(&redis_decide);
}

void redis_scripts_init(void)
{
    static struct redis_script *const all[] = {
        &redis_cancel, &redis_claim,   &redis_declare_script, &redis_discard,
        &redis_due,    &redis_end,     &redis_forgo,          &redis_open_batch,
        &redis_prune,  &redis_push,    &redis_recount,        &redis_relay,
        &redis_renew,  &redis_restore, &redis_retry,          &redis_revoke,
        &redis_rows,   &redis_see,     &redis_set_queue,      &redis_sweep,
        &redis_why,    &redis_known,   &redis_cards};
    static bool ready;
    if (!ready)
        make_decide();
    for (size_t i = 0; !ready && i < sizeof all / sizeof *all; i++) {
        bool pushes = all[i] == &redis_push || all[i] == &redis_relay;
        bool ends = all[i] == &redis_end || all[i] == &redis_cancel;
        all[i]->text = mem_printf("%s%s%s%s", redis_lua_common,
                                  pushes ? redis_lua_put
                                  : ends ? redis_lua_batch
                                         : "",
                                  ends ? redis_lua_step : "", all[i]->text);
        redis_script_init(all[i]);
    }
    ready = true;
}
