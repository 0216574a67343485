/* The same model smaller: what is kept of it, what computes it, and how far it is off. */
#include "kernels/forecaster_quantize.h"

#include "kernels/isa.h"
#include "model_file.h"
#include "test.h"

#define GRU                                                                                        \
    "{\"format\":1,\"kind\":\"gru\",\"name\":\"t\",\"version\":\"1\",\"lookback\":40,"             \
    "\"min_points\":3,\"horizon\":4,\"quantiles\":[0.1,0.5,0.9],\"scaling\":\"last\","             \
    "\"inputs\":1,\"hidden\":21,\"layers\":2,\"bidirectional\":true,\"projection\":0}"

static struct forecaster *read_model(struct str bytes)
{
    struct err err = {0};
    struct forecaster *f = forecaster_new(bytes, &err);
    if (!f)
        TEST_FAIL("%s", err.message);
    return f;
}

static struct forecaster *smaller(struct str bytes, enum forecaster_weights to)
{
    struct buf out = {0};
    struct err err = {0};
    if (!forecaster_quantize(bytes, to, &out, &err))
        TEST_FAIL("%s", err.message);
    struct forecaster *f = read_model(buf_str(&out));
    buf_free(&out);
    return f;
}

/* instructions: NULL, whatever float32 has */
static void check(struct str bytes, enum forecaster_weights to, enum kernel_isa isa,
                  const char *instructions, double mean, double most)
{
    if (!kernel_isa_use(isa))
        return;
    struct forecaster *whole = read_model(bytes), *f = smaller(bytes, to);
    CHECK_STR(forecaster_instructions(whole), kernel_isa_name(isa));
    CHECK_STR(forecaster_instructions(f), instructions ? instructions : kernel_isa_name(isa));
    CHECK(forecaster_info(f)->weights == to);
    struct forecaster_difference d =
        forecaster_compare(whole, f, (struct forecaster_series){NULL, 0});
    if (!(d.mean > 0 && d.mean < mean && d.most < most))
        TEST_FAIL("%s by %s: %g, %g at most", forecaster_weights_name(to),
                  forecaster_instructions(f), d.mean, d.most);
    forecaster_free(whole);
    forecaster_free(f);
}

TEST(a_smaller_net_is_computed_as_it_is_kept_where_that_is_possible)
{
    struct model_file m = {.metadata = GRU};
    model_net(&m, 3, 21, 2, 2, 0, 12);
    struct str bytes = model_bytes(&m);
    for (int isa = 0; isa < KERNEL_ISAS; isa++) {
        for (int dot = 0; dot < KERNEL_DOTS; dot++)
            kernel_dot_use((enum kernel_dot)dot, false);
        check(bytes, FORECASTER_BF16, (enum kernel_isa)isa, NULL, 0.01, 0.05);
        check(bytes, FORECASTER_I8, (enum kernel_isa)isa, NULL, 0.02, 0.1);
    }
    for (int dot = 0; dot < KERNEL_DOTS; dot++) {
        kernel_dot_use((enum kernel_dot)dot, true);
        if (kernel_dot((enum kernel_dot)dot))
            check(bytes, dot == KERNEL_AVX512_BF16 ? FORECASTER_BF16 : FORECASTER_I8,
                  dot == KERNEL_AVX_VNNI ? KERNEL_AVX2 : KERNEL_AVX512,
                  kernel_dot_name((enum kernel_dot)dot), 0.02, 0.1);
    }
    mem_free((char *)(uintptr_t)bytes.p);
    model_free(&m);
}
