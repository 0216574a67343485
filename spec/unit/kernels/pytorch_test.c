/* Every variant against what PyTorch itself gave (pytorch_make.py): a recorded few, or those of the
 * file that MARU_PYTORCH names. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json_pick.h"
#include "base/mem.h"
#include "base/sys.h"
#include "kernels/isa.h"
#include "kernels/recurrent.h"
#include "kernels/safetensors.h"
#include "test.h"

enum { FILE_MOST = 1 << 28, NAME_BYTES = 64, DIRECTIONS_MOST = 6 };

struct recording {
    struct safetensors file;
    struct buf bytes, cases;
    int number; /* of the case at hand */
};

static double number_of(struct str json, const char *field)
{
    double n = NAN;
    if (!json_pick_number(json_pick_get(json, field), &n))
        n = str_eq_c(json_pick_get(json, field), "true");
    return n;
}

/* A copy, or NULL. */
static float *values(const struct recording *r, const char *name)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%d.%s", r->number, name);
    const struct safetensors_tensor *t = safetensors_find(&r->file, str_c(full));
    return t ? mem_dup(t->data.p, t->data.n) : NULL;
}

static size_t count_of(const struct recording *r, const char *name)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%d.%s", r->number, name);
    return safetensors_find(&r->file, str_c(full))->count;
}

static float *weight(const struct recording *r, const char *word, int direction, bool both)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s_l%d%s", word, direction / (both ? 2 : 1),
             both && direction % 2 ? "_reverse" : "");
    return values(r, name);
}

/* The largest difference, against the largest value. */
static double off(const struct recording *r, const char *name, const float *got)
{
    size_t n = count_of(r, name);
    float *want = values(r, name);
    double difference = 0, most = 1e-30;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        if (!(d <= difference))
            difference = d;
        most = fmax(most, fabs((double)want[i]));
    }
    mem_free(want);
    return difference / most;
}

static double compare(const struct recording *r, const struct recurrent_shape *shape,
                      const struct recurrent_weights *weights, int batch, int time)
{
    struct recurrent *net = recurrent_new(shape, weights);
    struct recurrent_call call = {.batch = batch, .time = time, .x = values(r, "x")};
    float *lengths = values(r, "lengths");
    int *whole = mem_zero((size_t)batch, sizeof *whole);
    for (int i = 0; i < batch; i++)
        whole[i] = (int)lengths[i];
    call.lengths = whole;
    call.h = values(r, "h");
    call.c = shape->cell == RECURRENT_LSTM ? values(r, "c") : NULL;
    call.out = mem_zero(count_of(r, "out"), sizeof(float));
    call.scratch = aligned_alloc(64, recurrent_scratch(net, batch, time));
    recurrent_run(net, &call);
    double worst = fmax(off(r, "out", call.out), off(r, "h_n", call.h));
    if (call.c)
        worst = fmax(worst, off(r, "c_n", call.c));
    void *const all[] = {(void *)(uintptr_t)call.x, lengths, whole, call.h, call.c, call.out};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mem_free(all[i]);
    free(call.scratch);
    recurrent_free(net);
    return worst;
}

/* The largest difference of the instruction sets, or of the worst one. */
static double run_case(const struct recording *r, struct str json)
{
    struct recurrent_shape shape = {
        .cell = str_eq_c(json_pick_get(json, "cell"), "\"gru\"") ? RECURRENT_GRU : RECURRENT_LSTM,
        .inputs = (int)number_of(json, "inputs"),
        .hidden = (int)number_of(json, "hidden"),
        .projection = (int)number_of(json, "projection"),
        .layers = (int)number_of(json, "layers"),
        .bidirectional = number_of(json, "bidirectional") != 0};
    bool both = shape.bidirectional;
    int count = shape.layers * (both ? 2 : 1);
    struct recurrent_weights weights[DIRECTIONS_MOST];
    double worst = 0;
    for (int i = 0; i < count; i++)
        weights[i] = (struct recurrent_weights){
            weight(r, "weight_ih", i, both), weight(r, "weight_hh", i, both),
            weight(r, "bias_ih", i, both), weight(r, "bias_hh", i, both),
            weight(r, "weight_hr", i, both)};
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        if (!kernel_isa_use((enum kernel_isa)isa))
            continue;
        double d = compare(r, &shape, weights, (int)number_of(json, "batch"),
                           (int)number_of(json, "time"));
        if (!(d < 1e-5))
            TEST_FAIL("%s: case %d %.*s: %g", kernel_isa_name((enum kernel_isa)isa), r->number,
                      (int)json.n, json.p, d);
        worst = fmax(worst, d);
    }
    for (int i = 0; i < count; i++) {
        const float *const all[] = {weights[i].weight_ih, weights[i].weight_hh, weights[i].bias_ih,
                                    weights[i].bias_hh, weights[i].weight_hr};
        for (int k = 0; k < 5; k++)
            mem_free((void *)(uintptr_t)all[k]);
    }
    return worst;
}

TEST(lstm_and_gru_give_what_pytorch_gives)
{
    const char *path = getenv("MARU_PYTORCH");
    struct recording r = {0};
    struct err err = {0};
    struct json_pick pick;
    struct str json;
    double worst = 0;
    path = path ? path : "spec/unit/kernels/pytorch.safetensors";
    REQUIRE(file_read(path, FILE_MOST, &r.bytes, &err));
    REQUIRE(safetensors_read(&r.file, buf_str(&r.bytes), &err));
    REQUIRE(json_pick_text(json_pick_get(r.file.metadata, "cases"), &r.cases));
    REQUIRE(json_pick_open(&pick, buf_str(&r.cases), '['));
    for (; json_pick_item(&pick, &json); r.number++)
        worst = fmax(worst, run_case(&r, json));
    printf("# %d cases, the largest difference %.2g of the largest value\n", r.number, worst);
    CHECK(r.number >= 14);
    safetensors_free(&r.file);
    buf_free(&r.cases);
    buf_free(&r.bytes);
}
