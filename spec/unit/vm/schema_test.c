/* app.schema: declarations, checked values, every wrong field. */
#include "vm/support.h"

/* fields, value -> the checked value, or the errors as field: message. */
static const struct {
    const char *fields, *value, *result;
} cases[] = {
    {"{ text = 'string(1,5)' }", "{ text = 'abc' }", "{\"text\":\"abc\"}"},
    {"{ text = 'string(1,5)' }", "{ text = '' }", "value.text: must be text of 1 to 5 characters"},
    {"{ text = 'string(1,5)' }", "{ text = '가나다라마' }", "{\"text\":\"가나다라마\"}"},
    {"{ text = 'string(1,5)' }", "{ text = '가나다라마바' }",
     "value.text: must be text of 1 to 5 characters"},
    {"{ text = 'string(2,)' }", "{ text = '가' }",
     "value.text: must be text of at least 2 characters"},
    {"{ text = 'string' }", "{ text = 5 }", "value.text: must be text"},
    {"{ text = 'string' }", "{}", "value.text: is required"},
    {"{ text = 'string?' }", "{}", "{}"},
    {"{ text = 'string?' }", "{ text = null }", "{}"},
    {"{ text = 'string' }", "{ text = null }", "value.text: must not be null"},
    {"{ text = { type = 'string', pattern = '%d+' } }", "{ text = '12' }", "{\"text\":\"12\"}"},
    {"{ text = { type = 'string', pattern = '%d+' } }", "{ text = '12x' }",
     "value.text: must match the pattern %d+"},
    {"{ n = 'integer(0,100)' }", "{ n = 7 }", "{\"n\":7}"},
    {"{ n = 'integer(0,100)' }", "{ n = 101 }", "value.n: must be a whole number from 0 to 100"},
    {"{ n = 'integer' }", "{ n = 1.5 }", "value.n: must be a whole number"},
    {"{ n = 'integer' }", "{ n = '7' }", "value.n: must be a whole number"},
    {"{ n = 'integer' }", "{ n = 2 ^ 60 }", "value.n: must be a whole number"},
    {"{ n = 'number(-1,1)' }", "{ n = 0 / 0 }", "value.n: must be a number from -1 to 1"},
    {"{ b = 'boolean' }", "{ b = 'true' }", "value.b: must be true or false"},
    {"{ e = 'enum(a,b)' }", "{ e = 'b' }", "{\"e\":\"b\"}"},
    {"{ e = 'enum(a,b)' }", "{ e = 'c' }", "value.e: must be one of a, b"},
    {"{ x = 'any' }", "{ x = null }", "{\"x\":null}"},
    {"{ n = { type = 'integer', default = 3 } }", "{}", "{\"n\":3}"},
    {"{ l = { type = 'array', items = 'integer', max = 3 } }", "{ l = { 1, 2 } }", "{\"l\":[1,2]}"},
    {"{ l = { type = 'array', items = 'integer' } }", "{ l = {} }", "{\"l\":[]}"},
    {"{ l = { type = 'array', items = 'integer', max = 2 } }", "{ l = { 1, 2, 3 } }",
     "value.l: must be an array of at most 2 items"},
    {"{ l = { type = 'array', items = 'integer' } }", "{ l = { 1, 'x', 2.5 } }",
     "value.l[2]: must be a whole number\nvalue.l[3]: must be a whole number"},
    {"{ l = { type = 'array', items = 'any' } }", "{ l = { a = 1 } }", "value.l: must be an array"},
    {"{ o = { type = 'object', fields = { price = 'number(0,)' } } }", "{ o = { price = -1 } }",
     "value.o.price: must be a number of at least 0"},
    {"{ o = { type = 'object', fields = {} } }", "{ o = { 1 } }", "value.o: must be an object"},
    {"{ items = { type = 'array', items = { type = 'object', fields = { price = 'number' } } } }",
     "{ items = { { price = 1 }, { price = 2 }, { price = 'x' } } }",
     "value.items[3].price: must be a number"},
    {"{ text = 'string', other = 'string?' }", "{ txet = 'a', more = 1 }",
     "value.text: is required\nvalue.more: unknown field\n"
     "value.txet: unknown field; did you mean 'text'?"},
    {"{ a = 'string', b = 'integer' }", "5", "value: must be an object"},
    {"{ a = 'string', b = 'integer' }", "{ a = 1, b = 'x' }",
     "value.a: must be text\nvalue.b: must be a whole number"},
};

TEST(checks_values_and_lists_what_is_wrong)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *exports = mem_printf("f = function(app)\n"
                                   "  local null = app.json.null\n"
                                   "  local value, errors = app.schema.check(%s, %s)\n"
                                   "  if value then return app.json.encode(value) end\n"
                                   "  local lines = {}\n"
                                   "  for i, e in ipairs(errors) do lines[i] = e.field .. ': ' .. "
                                   "e.message end\n"
                                   "  return table.concat(lines, '\\n')\nend",
                                   cases[i].fields, cases[i].value);
        struct run run = call_once(exports);
        struct buf want = {0};
        buf_add_char(&want, '[');
        json_write_string(&want, str_c(cases[i].result));
        buf_add_char(&want, ']');
        if (strcmp(run.json, want.p) != 0)
            TEST_FAIL("%s %s: %s %s", cases[i].fields, cases[i].value, run.json, run.message);
        buf_free(&want);
        mem_free(exports);
    }
}

TEST(leaves_the_checked_value_alone)
{
    struct run run =
        call_once("f = function(app)\n"
                  "  local given = { l = { 1 } }\n"
                  "  local fields = { l = { type = 'array', items = 'integer' }, d = { type = "
                  "'array', default = {} } }\n"
                  "  local a = app.schema.check(fields, given)\n"
                  "  a.l[1], a.d[1] = 5, 6\n"
                  "  return given.l[1], given.d == nil, #app.schema.check(fields, given).d\nend");
    CHECK_STR(run.json, "[1,true,0]");
}

TEST(raises_for_a_wrong_declaration)
{
    struct run run = call_once("f = function(app) app.schema.check({ a = 'strng' }, {}) end");
    CHECK(strstr(run.message, "fields.a: unknown type 'strng'; did you mean 'string'?"));
    run = call_once("f = function(app) app.schema.check(5) end");
    CHECK_STR(run.message,
              "plugins/demo/plugin.lua:3: app.schema.check(fields, value): fields must be "
              "a table, got number");
}

/* ---- the wrapper of routes --------------------------------------------- */

static int l_set(lua_State *L)
{
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_rawset(L, 1);
    return 0;
}

static int l_body(lua_State *L)
{
    lua_getfield(L, 1, "content");
    return 1;
}

/* A request is a table here; http.set writes into it, http.body gives its content. */
static int bind_with_http(lua_State *L)
{
    bind_all(L);
    lua_newtable(L);
    lua_pushcfunction(L, l_set);
    lua_setfield(L, -2, "set");
    lua_pushcfunction(L, l_body);
    lua_setfield(L, -2, "body");
    lua_setfield(L, -2, "http");
    return 1;
}

struct exchange {
    const char *request; /* JSON; `content` is its body */
    struct run run;
};

static int push_request(lua_State *L, void *arg)
{
    struct exchange *x = arg;
    struct err err;
    if (!lua_json_decode(L, str_c(x->request), 32, &err))
        luaL_error(L, "%s", err.message);
    return 1;
}

static void end_request(struct task *task, enum task_outcome outcome, lua_State *L, int results,
                        void *arg)
{
    on_end(task, outcome, L, results, &((struct exchange *)arg)->run);
}

static struct run request(struct fixture *f, const char *json)
{
    struct exchange x = {.request = json};
    struct task_options options = {.kind = TASK_REQUEST,
                                   .handler = f->decl->routes[0].handler,
                                   .label = "POST /a/{id}",
                                   .push = push_request,
                                   .end = end_request,
                                   .arg = &x};
    task_start(f->vm, &options, &f->err);
    return x.run;
}

TEST(a_route_gets_checked_values_or_answers_with_every_wrong_field)
{
    struct fixture f;
    fixture_init(&f);
    f.host.bind = bind_with_http;
    add_file(&f, "plugin.lua",
             "return { name = 'demo', version = '1.0.0', routes = { ['POST /a/{id}'] = {\n"
             "path = { id = 'integer' }, query = { limit = { type = 'integer', default = 10 } },\n"
             "headers = { ['x-key'] = 'string(3,)' }, body = { text = 'string(1,3)' },\n"
             "function(app, r) return r.params.id, r.query.limit, r.headers.host, r.body.text end "
             "} } }");
    REQUIRE(fixture_load(&f, ""));
    struct run run =
        request(&f, "{\"params\":{\"id\":\"7\"},\"query\":{},\"content\":{\"text\":\"hi\"},"
                    "\"headers\":{\"host\":\"h\",\"x-key\":\"abc\"}}");
    CHECK_STR(run.json, "[7,10,\"h\",\"hi\"]");
    run = request(&f, "{\"params\":{\"id\":\"x\"},\"query\":{\"limt\":\"5\"},\"content\":5,"
                      "\"headers\":{\"host\":\"h\"}}");
    CHECK(strncmp(run.json, "[422,{", 6) == 0);
    CHECK(strstr(run.json, "\"code\":\"invalid\""));
    CHECK(strstr(run.json, "\"detail\":\"4 fields are wrong\""));
    static const char *const fields[] = {"\"path.id\"", "\"query.limt\"", "\"headers.x-key\"",
                                         "\"body\""};
    for (int i = 0; i < 4; i++)
        CHECK(strstr(run.json, fields[i]));
    CHECK(strstr(run.json, "{\"content-type\":\"application/problem+json\"}]"));
    run = request(&f, "{\"params\":{\"id\":\"1e3\"},\"query\":{},\"content\":{\"text\":\"hi\"},"
                      "\"headers\":{\"x-key\":\"abc\"}}");
    CHECK(strstr(run.json, "\"detail\":\"path.id: must be a whole number\""));
    fixture_close(&f);
}
