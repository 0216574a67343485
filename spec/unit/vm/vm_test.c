#include "vm/support.h"

TEST(runs_a_handler_with_app)
{
    struct run run = call_once("f = function(app) return app.name, app.generation, 3 end");
    CHECK_EQ(run.outcome, TASK_DONE);
    CHECK_STR(run.json, "[\"demo\",\"demo@0123456789ab\",3]");
}
