/* Bindings that need no part of the process: crypto, text, kernels, metrics, time. */
#include "observe/metrics.h"
#include "vm/support.h"

/* Expression -> the results as JSON. */
static const struct {
    const char *call, *json;
} right[] = {
    {"app.crypto.sha256('abc')",
     "[\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"]"},
    {"app.crypto.hmac_sha256('Jefe', 'what do ya want for nothing?')", /* RFC 4231, 2 */
     "[\"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\"]"},
    {"#app.crypto.random(16), app.crypto.random(8) ~= app.crypto.random(8)", "[32,true]"},
    {"#app.crypto.uuid(), app.crypto.uuid():sub(15, 15)", "[36,\"7\"]"},
    {"app.crypto.base64('fooba'), app.crypto.base64('')", "[\"Zm9vYmE=\",\"\"]"},
    {"app.crypto.unbase64('Zm9vYmE=')", "[\"fooba\"]"},
    {"app.crypto.unbase64('Zm9vYmE')", "[null,\"not base64 with padding (RFC 4648)\",\"invalid\"]"},
    {"app.crypto.equal('a', 'a'), app.crypto.equal('a', 'b'), app.crypto.equal('a', 'ab')",
     "[true,false,false]"},
    {"app.text.unescape_html('a &amp;&lt;&gt;&quot;&#39;&#x1F600;&apos; &amp;lt; &unknown; &#0; & "
     "&')",
     "[\"a &<>\\\"'😀' &lt; &unknown; &#0; & &\"]"},
    {"app.text.unescape_html('plain'), app.text.unescape_html(''), app.text.unescape_html('&')",
     "[\"plain\",\"\",\"&\"]"},
    {"app.text.unescape_html('&#xD800;&#1114112;&#;&#x;')", "[\"&#xD800;&#1114112;&#;&#x;\"]"},
    {"app.text.parse_time('2026-11-21 13:45:52', '+09:00')", "[1795236352]"},
    {"app.text.parse_time('2026-11-21T13:45:52+09:00')", "[1795236352]"},
    {"app.text.parse_time('2026-11-21T04:45:52.5Z')", "[1795236352.5]"},
    {"app.text.parse_time('1970-01-01 00:00:00')", "[0]"},
    {"app.text.parse_time('2024-02-29 00:00:00'), app.text.parse_time('2023-02-29 00:00:00') == "
     "nil",
     "[1709164800,true]"},
    {"app.text.parse_time('2026-13-01 00:00:00') == nil, app.text.parse_time('x') == nil, "
     "app.text.parse_time('2026-11-21 13:45') == nil, app.text.parse_time('2026-11-21 13:45:52x') "
     "== nil",
     "[true,true,true,true]"},
    {"app.text.format_time(1795236352, '+09:00')", "[\"2026-11-21T13:45:52+09:00\"]"},
    {"app.text.format_time(-1), app.text.format_time(0, '-03:30')",
     "[\"1969-12-31T23:59:59+00:00\",\"1969-12-31T20:30:00-03:30\"]"},
    {"app.kernels.moving_average({ 1, 2, 3, 4 }, 2)", "[[null,1.5,2.5,3.5]]"},
    {"app.kernels.moving_average({ 1, app.json.null, 3 }, 3, 1)", "[[1,1,2]]"},
    {"app.kernels.moving_average({}, 3)", "[[]]"},
    {"app.kernels.moving_average(app.kernels.floats({ 1, 2, 4 }), 2):table()", "[[null,1.5,3]]"},
    {"app.kernels.rolling('sum', { 1, 2, 4 }, 2), app.kernels.rolling('mean', { 1, 2, 4 }, 2)",
     "[[null,3,6],[null,1.5,3]]"},
    {"app.kernels.rolling('var', { 1, 3, 9 }, 2), app.kernels.rolling('std', { 1, 3, 9 }, 2, { "
     "ddof = "
     "0 })",
     "[[null,2,18],[null,1,3]]"},
    {"app.kernels.rolling('zscore', { 1, 3, 1 }, 2, { ddof = 0, min_periods = 1 })",
     "[[null,1,-1]]"},
    {"app.kernels.rolling('weighted', { 3, 6, 9 }, 2)", "[[null,5,8]]"},
    {"app.kernels.rolling('min', { 3, 1, 2, 5 }, 2), app.kernels.rolling('max', { 3, 1, 2, 5 }, 2, "
     "{ "
     "min_periods = 1 })",
     "[[null,1,1,2],[3,3,2,5]]"},
    {"app.kernels.rolling('median', { 3, 1, 2, 5 }, 3), app.kernels.rolling('mad', { 3, 1, 2, 8 }, "
     "3)",
     "[[null,null,2,2],[null,null,1,1]]"},
    {"app.kernels.rolling('quantile', { 0, 1, 2, 3, 4 }, 5, { q = 0.9 })[5]", "[3.6]"},
    {"app.kernels.rolling('sum', { 1, 2, 4, 10, 20, 40 }, 2, { series = 2 }), "
     "app.kernels.rolling('mean', { 1, 10, 2, 20, 4, 40 }, 2, { series = 2, columns = true })",
     "[[null,3,6,null,30,60],[null,null,1.5,15,3,30]]"},
    {"app.kernels.rolling('max', { 1, 2, 0, 5, 4, 6 }, 2, { series = 2, min_periods = 1 }), "
     "app.kernels.rolling('median', app.kernels.floats({ 1, 10, 2, 20, 4, 40 }), 9, { series = 2, "
     "columns = true, min_periods = 1 }):table()",
     "[[1,2,2,5,5,6],[1,10,1.5,15,2,20]]"},
    {"app.kernels.rolling('sum', { 1, 2, 3, 4 }, 5000, { series = 2, min_periods = 2 }), "
     "app.kernels.rolling('weighted', { 3, 6, 3, 6 }, 2, { series = 2, columns = true }), "
     "app.kernels.rolling('sum', {}, 2, { series = 3 })",
     "[[null,3,null,7],[null,null,3,6],[]]"},
    {"app.kernels.rolling('median', { 1, app.json.null, 3 }, 3, { min_periods = 1 }), "
     "app.kernels.rolling('max', { 1, app.json.null, 3 }, 2, { min_periods = 1, skip_nan = false "
     "})",
     "[[1,1,2],[1,null,null]]"},
    {"app.kernels.rolling('median', app.kernels.floats({ 3, 1, 2 }), 9, { min_periods = 2 "
     "}):table(), "
     "app.kernels.rolling('max', {}, 5)",
     "[[null,2,2],[]]"},
    {"app.kernels.rolling('min', { 1, 2, 3 }, 9), app.kernels.rolling('sum', { 1, 2, 3 }, 9, { "
     "min_periods = 3 })",
     "[[null,null,null],[null,null,6]]"},
    {"app.kernels.exponential({ 1, 2 }, { alpha = 0.5, adjust = false }), "
     "app.kernels.exponential({ 3, app.json.null, 6 }, { span = 3 })[3] == 5.4, "
     "app.kernels.exponential(app.kernels.floats({ 2, 4 }), { halflife = 1, adjust = false "
     "}):table()",
     "[[1,1.5],true,[2,3]]"},
    {"app.kernels.cumulative_mean({ 1, app.json.null, 4 })", "[[1,1,2.5]]"},
    {"(function() local h = app.kernels.holt_winters({ 1, 3, 2, 4, 3, 5 }, { period = 2, horizon = "
     "3 "
     "}) return h.fitted, h.forecast, h.level, h.trend end)()",
     "[[null,null,null,null,3,5],[4,6,5],4.25,0.5]"},
    {"app.kernels.holt_winters({ 1, 2, 3 }, { seasonal = 'none', alpha = 1, horizon = 2 "
     "}).forecast",
     "[[4,5]]"},
    {"app.kernels.holt_winters({ 1, 2, 0 }, { seasonal = 'multiplicative', period = 2 })",
     "[null,\"value 3 is infinite, or not above 0 as ratios need it\",\"invalid\",3]"},
    {"app.kernels.holt_winters({ 1, 2, 3 }, { period = 2 })",
     "[null,\"it begins with two periods of values, about a line that is above 0 for "
     "ratios\",\"invalid\"]"},
    {"app.kernels.floats({ 1.5, app.json.null, -2 }):table()", "[[1.5,null,-2]]"},
    {"#app.kernels.floats({}), app.kernels.floats({}):table()", "[0,[]]"},
    {"app.kernels.floats('\\0\\0\\192\\63\\0\\0\\0\\192'):table()", "[[1.5,-2]]"},
    {"app.kernels.floats('12345')",
     "[null,\"5 bytes are no whole number of float32\",\"invalid\"]"},
    {"app.kernels.floats({ 1, 'x' })", "[null,\"value 2 is a string\",\"invalid\",2]"},
    {"app.kernels.floats({ 1e39 })", "[null,\"value 1 is too large for float32\",\"invalid\",1]"},
    {"app.kernels.floats({ 1, app.json.null }, { finite = true })",
     "[null,\"value 2 is null\",\"invalid\",2]"},
    {"app.kernels.floats('\\0\\0\\192\\127', { finite = true })",
     "[null,\"value 1 is not a number\",\"invalid\",1]"},
    {"(function() local f = app.kernels.floats({ 1, 2.5, 4 }) return #f, f[2], f[0] == nil, f[4] "
     "== "
     "nil, f:table(2), f:table(2, 2), #f:bytes(), app.kernels.floats(f:bytes())[3] end)()",
     "[3,2.5,true,true,[2.5,4],[2.5],12,4]"},
    {"app.kernels.parse_floats('[1, 2.5]'):table(), #app.kernels.parse_floats('1\\n2\\n')",
     "[[1,2.5],2]"},
    {"app.kernels.parse_floats('[1, null]')", "[null,\"value 2 is null\",\"invalid\",2]"},
    {"app.kernels.full(3, 2.5), #app.kernels.full(0, 1)", "[[2.5,2.5,2.5],0]"},
    {"app.kernels.floats({ 51.234, app.json.null, 0.1 }), { app.kernels.floats({}) }",
     "[[51.234,null,0.1],[[]]]"},
    {"app.kernels.floats({ 3, app.json.null, 1, 7 }):slice(2, 3), app.kernels.floats({ 3 "
     "}):slice(2), "
     "app.kernels.floats({ 3, 4 }):slice()",
     "[[null,1],[],[3,4]]"},
    {"(function() local k, c = app.kernels, app.crypto for n = 0, 40 do local list = {} for i = 1, "
     "n do "
     "list[i] = math.random() * 1e6 end local f = k.floats(list) local text = f:base64() "
     "if text ~= c.base64(f:bytes()) or k.floats(text, { base64 = true }):bytes() ~= f:bytes() "
     "then "
     "return n end end end)()",
     "[]"},
    {"app.kernels.floats('AADAPw==', { base64 = true })", "[[1.5]]"},
    {"app.kernels.floats('AADAPx==', { base64 = true }), app.kernels.floats('AADAPw=', { base64 = "
     "true "
     "}), app.kernels.floats('AAD*Pw==', { base64 = true }), app.kernels.floats('AAAA', { base64 = "
     "true "
     "}), app.kernels.floats('AADAPw=w', { base64 = true }), (app.kernels.floats('=', { base64 = "
     "true }))",
     "[null,null,null,null,null,null]"},
    {"app.kernels.floats('====', { base64 = true })",
     "[null,\"it is no base64 of float32, with padding (RFC 4648)\",\"invalid\"]"},
    {"app.kernels.floats('AACAfw==', { base64 = true })",
     "[null,\"value 1 is infinite\",\"invalid\",1]"},
    {"app.kernels.floats({ 3, app.json.null, -1, 7 }):range()", "[-1,7]"},
    {"app.kernels.floats({ app.json.null }):range()", "[]"},
    {"app.kernels.floats({ 1.2345, app.json.null, -2.5, 1234 }):round(2), "
     "app.kernels.floats({ 1.5, -2.5, 1234 }):round(-2)",
     "[[1.23,null,-2.5,1234],[0,0,1200]]"},
    {"app.kernels.errors(app.kernels.floats({ 1, 5, 9 }), app.kernels.floats({ 2, 5, 5 }))",
     "[1.6666666666666667,2.3804761428476167,3]"},
    {"app.kernels.errors(app.kernels.floats({ 1, 5, 9, app.json.null }), app.kernels.floats({ 2, "
     "5, 5 }), "
     "1)",
     "[3.5,3.5355339059327378,2]"},
    {"app.kernels.errors(app.kernels.floats({}), app.kernels.floats({ 2 }))", "[0,0,0]"},
    {"(function() local v = app.json.decode('{\"data\":[1,2.5,-3e2],\"more\":{\"data\":[1]}}', { "
     "floats "
     "= 'data' }) return type(v.data), v, type(v.more.data) end)() == 'userdata'",
     "[true]"},
    {"(function() local v = app.json.decode('{\"items\":[{\"data\":[1,2]},{\"data\":[1,null]},"
     "{\"data\":[[1]]},{\"data\":[]},{\"data\":[1e39]},{\"data\":[0.1,\"x\",true,{}]},"
     "{\"data\":3},{\"dat\":[1]},{\"data.x\":[1]}]}', { floats = 'items.data' }) local kinds = '' "
     "for i, item in ipairs(v.items) do kinds = kinds .. type(item.data):sub(1, 1) end "
     "return kinds .. type(v.items[8].dat):sub(1, 1), v.items end)()",
     "[\"utttttnnnt\",[{\"data\":[1,2]},{\"data\":[1,null]},{\"data\":[[1]]},{\"data\":[]},"
     "{\"data\":[1e+39]},{\"data\":[0.1,\"x\",true,{}]},{\"data\":3},{\"dat\":[1]},{\"data.x\":[1]}"
     "]]"},
    {"app.kernels.parse_floats('')", "[null,\"there are no values\",\"invalid\"]"},
    {"app.metrics:count('hits', 2)", "[]"},
    {"app.metrics:gauge('depth', -1, { queue = 'a', n = 1, ok = true })", "[]"},
    {"app.metrics:observe('work_seconds', 0.1)", "[]"},
    {"app.redirect('/x')", "[302,\"\",{\"location\":\"/x\"}]"},
};

static const struct {
    const char *call, *message;
} wrong[] = {
    {"app.crypto.sha256()", "app.crypto.sha256(text): text must be a string, got nothing"},
    {"app.crypto.random(0)",
     "app.crypto.random(n): n must be a whole number from 1 to 1024, got 0"},
    {"app.crypto.random(1.5)", "n must be a whole number from 1 to 1024, got 1.5"},
    {"app.crypto.equal('a', 5)", "app.crypto.equal(a, b): b must be a string, got 5"},
    {"app.text.format_time('x')",
     "app.text.format_time(seconds, [offset]): seconds must be a number"},
    {"app.text.format_time(1, 'KST')", "offset must be such as \"+09:00\", got string"},
    {"app.kernels.moving_average(5, 1)", "values must be a table, got 5"},
    {"app.kernels.moving_average({ 'x' }, 1)",
     "values[1] must be a number or app.json.null, got string"},
    {"app.kernels.moving_average({}, 0)",
     "window must be a whole number from 1 to 10000000, got 0"},
    {"app.kernels.moving_average({}, 2, 3)",
     "min_periods must be a whole number from 1 to 2, got 3"},
    {"app.kernels.rolling('mode', {}, 1)", "stat must be sum, mean"},
    {"app.kernels.rolling('min', 'x', 1)", "values must be a table, got string"},
    {"app.kernels.rolling('min', {}, 0)",
     "window must be a whole number from 1 to 10000000, got 0"},
    {"app.kernels.rolling('min', {}, 2, { min_periods = 3 })",
     "min_periods must be a whole number from 1 to 2, got 3"},
    {"app.kernels.rolling('min', {}, 2, { quantile = 3 })", "unknown option quantile"},
    {"app.kernels.rolling('quantile', {}, 2, { q = 2 })", "q must be from 0 to 1, got 2"},
    {"app.kernels.rolling('sum', { 1, 2, 3 }, 2, { series = 2 })",
     "3 values are not 2 series as long as each other"},
    {"app.kernels.rolling('sum', {}, 2, { series = 1.5 })", "series must be a whole number"},
    {"app.kernels.exponential({}, {})", "options must have one of alpha, span, halflife"},
    {"app.kernels.exponential({}, { span = 0.5 })", "span from 1"},
    {"app.kernels.exponential({})", "options must be a table, got nothing"},
    {"app.kernels.holt_winters({}, {})", "period must be from 2 to 1000000, got 0"},
    {"app.kernels.holt_winters({}, { period = 2.5 })", "period must be a whole number, got 2.5"},
    {"app.kernels.holt_winters({}, { period = 2, seasonal = 'x' })", "seasonal must be"},
    {"app.kernels.cumulative_mean(5)", "values must be a table, got 5"},
    {"app.kernels.floats(5)", "source must be an array of numbers or bytes of float32, got 5"},
    {"app.kernels.floats({}, { infinite = true })", "unknown option infinite"},
    {"app.kernels.parse_floats({})", "text must be a string, got table"},
    {"app.kernels.full(-1, 1)", "n must be a whole number from 0"},
    {"app.kernels.full(1, 1e39)", "value must be a number from"},
    {"app.kernels.full(1, 0 / 0)", "value must be a number from"},
    {"app.kernels.floats({}):table('x')", "from must be a whole number from 1"},
    {"app.kernels.floats({}).table({})", "call it with a colon"},
    {"(function() app.kernels.floats({ 1 })[1] = 2 end)()", "what it holds does not change"},
    {"app.metrics:count('Bad Name')", "name must be [a-z_][a-z0-9_]*"},
    {"app.metrics.count('x', 1)", "call it with a colon"},
    {"app.metrics:count('x', -1)", "value must be a number from 0"},
    {"app.metrics:count('x', 1, { plugin = 'y' })", "a label's name is"},
    {"app.metrics:count('x', 1, { a = {} })", "label a must be text, got table"},
    {"app.sleep()", "app.sleep(seconds): seconds must be"},
    {"app.sleep(-1)", "seconds must be a number from 0 to 1000000000, got -1"},
    {"app.sleep('soon')", "app.sleep(seconds): seconds must be seconds or a duration"},
    {"app.spawn(5)", "app.spawn(fn, …): fn must be a function, got 5"},
    {"app.redirect(5)", "app.redirect(url, [status]): url must be text, got number"},
    {"app.redirect('/', 200)", "status must be 301, 302, 303, 307 or 308"},
    {"app.log:info(5)", "app.log:info(message, [fields]): message must be a string, got 5"},
    {"app.call('x')", "app.call(name, …): name must be \"plugin.function\""},
};

TEST(right_calls)
{
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        char *exports = mem_printf("f = function(app) return %s end", right[i].call);
        struct run run = call_once(exports);
        mem_free(exports);
        if (strcmp(run.json, right[i].json) != 0)
            TEST_FAIL("%s: %s %s", right[i].call, run.json, run.message);
    }
}

TEST(wrong_arguments_raise_with_the_usage_line)
{
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *exports = mem_printf("f = function(app) local _ = %s end", wrong[i].call);
        struct run run = call_once(exports);
        mem_free(exports);
        if (run.outcome != TASK_FAILED || !strstr(run.message, wrong[i].message) ||
            strncmp(run.message, "plugins/demo/plugin.lua:3: ", 27) != 0)
            TEST_FAIL("%s: %s%s", wrong[i].call, run.json, run.message);
    }
}

TEST(metrics_carry_the_plugins_name)
{
    call_once("f = function(app) app.metrics:count('seen', 3, { b = 'x', a = 'y' }) end");
    struct buf out = {0};
    metrics_print(&out);
    CHECK(strstr(out.p, "maru_plugin_seen{plugin=\"demo\",a=\"y\",b=\"x\"} 3"));
    buf_free(&out);
}
