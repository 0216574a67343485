#include "cli/demo.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"

/* The clock runs 30 times as fast; a pass every 5 seconds is one every 2.5 minutes of it. */
static const char *const values[] = {
    "plugins.disable=",
    "plugins.simulator.speed=30",
    "plugins.simulator.surge_every=45",
    "plugins.chzzk.web_base=http://127.0.0.1:%d/sim/chzzk",
    "plugins.chzzk.open_base=http://127.0.0.1:%d/sim/chzzk",
    "plugins.chzzk.page_pause=0",
    "plugins.chzzk.breaker_cooloff=5",
    "plugins.soop.web_base=http://127.0.0.1:%d/sim/soop",
    "plugins.soop.open_base=http://127.0.0.1:%d/sim/soop",
    "plugins.soop.page_pause=0",
    "plugins.soop.breaker_cooloff=5",
    "plugins.streampulse.simulated=true",
    "plugins.streampulse.collect_every=@every 5s",
    "plugins.streampulse.detect_every=@every 5s",
    "plugins.streampulse.sweep_every=@every 10s",
    "plugins.streampulse.retry_delay=1s",
    "plugins.streampulse.fresh_for=4",
    "plugins.streampulse.history=600",
    "plugins.streampulse.max_gap=60",
    "plugins.streampulse.cooldown=180",
    "plugins.streampulse.context=60",
    "plugins.streampulse.surge_hold=90",
    "plugins.streampulse.min_viewers=300",
    "plugins.streampulse.min_gain=150",
    /* Each surge is said, and to a second channel where nobody acknowledges it. */
    "plugins.notify.topics=[\"streampulse.surge\"]",
    "plugins.notify.channels=[{\"name\":\"log\",\"kind\":\"log\"},"
    "{\"name\":\"on-duty\",\"kind\":\"log\"}]",
    "plugins.notify.rules=[{\"name\":\"surge\",\"event\":\"streampulse.surge\","
    "\"channels\":[\"log\"],\"level\":\"info\",\"title\":\"{channel_name}: {previous} → "
    "{viewers}\","
    "\"text\":\"{title} · {category} · {platform}\","
    "\"escalate\":[{\"after\":120,\"channels\":[\"on-duty\"]}]}]",
};

int demo_sets(char **sets, int port)
{
    int n = 0;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const char *hole = strstr(values[i], "%d");
        sets[n++] = hole
                        ? mem_printf("%.*s%d%s", (int)(hole - values[i]), values[i], port, hole + 2)
                        : mem_strdup(values[i]);
    }
    return n;
}
