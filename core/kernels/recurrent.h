/* recurrent.h -- LSTM and GRU over float32 series, as PyTorch's torch.nn.LSTM and torch.nn.GRU
 * define them.
 *
 * Weights come in PyTorch's layout and gate order and are packed once for the vector instructions
 * in use (isa.h); a packed net is read only: any number of threads may run it at once.  Results are
 * those of float32 sums in another order than PyTorch's, and of e^x with an error below 2 units in
 * the last place: spec/unit/kernels/recurrent_test.c holds them against float64 (largest difference
 * below 1e-5 of the largest value).  A row gives the same bits alone and among others.  Where one
 * row's time is that of reading the weights (LSTM, 768 KiB of weight_hh and more), they become 24
 * bits wide as they are packed (recurrent_thin.c, which says what that loses: less than the sums).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum recurrent_cell { RECURRENT_LSTM, RECURRENT_GRU };

struct recurrent_shape {
    enum recurrent_cell cell;
    int inputs, hidden; /* 1.. */
    int projection;     /* LSTM: states are weight_hr times sigma(o) tanh(c), so many; 0: none */
    int layers;         /* 1.. */
    bool bidirectional;
};

/* One direction of one layer, row by row; rows are the gates' units, i f g o (LSTM) or r z n (GRU).
 */
struct recurrent_weights {
    const float *weight_ih;         /* [gates * hidden][the layer's inputs] */
    const float *weight_hh;         /* [gates * hidden][states] */
    const float *bias_ih, *bias_hh; /* [gates * hidden], or NULL */
    const float *weight_hr;         /* [projection][hidden], or NULL */
};

struct recurrent;

/* How packed weights are kept; sums and cells are float32 always.
 *
 * bfloat16 takes half of the memory, int8 (with a scale for each row) a quarter.  Where the
 * processor multiplies such numbers (isa.h's kernel_dot), states and inputs are rounded to them as
 * well, at each step: recurrent_low.h.  Elsewhere bfloat16 is widened while it is used, and int8
 * is kept as float32. */
enum recurrent_kept { RECURRENT_F32, RECURRENT_BF16, RECURRENT_INT8 };

/* weights: for each layer, forward then backward.  They are copied; free with recurrent_free(). */
struct recurrent *recurrent_new(const struct recurrent_shape *shape,
                                const struct recurrent_weights *weights);
/* Of bfloat16, weight_ih and weight_hh lose the lower half of their bits: they should have none
 * there.  Of int8, a row's scale is its largest magnitude / 127: what a file has as int8 with such
 * scales stays what it is. */
struct recurrent *recurrent_new_as(const struct recurrent_shape *shape,
                                   const struct recurrent_weights *weights,
                                   enum recurrent_kept kept);
void recurrent_free(struct recurrent *net);
const char *recurrent_instructions(const struct recurrent *net); /* "AVX-512", "AVX-512 VNNI", … */

int recurrent_gates(enum recurrent_cell cell); /* 4 or 3 */
int recurrent_states(
    const struct recurrent_shape *shape); /* of one direction: projection or hidden */
int recurrent_outputs(const struct recurrent_shape *shape); /* of all directions */
int recurrent_inputs_of(const struct recurrent_shape *shape, int layer);

struct recurrent_call {
    int batch, time;    /* 1.. */
    const float *x;     /* [batch][time][inputs] */
    const int *lengths; /* [batch], each 1 to time: steps that count; NULL: all do */
    float *h; /* [layers * directions][batch][states]: the states before, then those after; NULL: 0,
                 not told */
    float *c; /* [layers * directions][batch][hidden]: the cells likewise (LSTM); NULL */
    float *out;    /* [batch][time][outputs], 0 where time is over a length; NULL: not wanted */
    float *last;   /* [batch][outputs]: out at each row's last step that counts; NULL: not wanted */
    void *scratch; /* recurrent_scratch() bytes, aligned to 64; of this call alone */
};

size_t recurrent_scratch(const struct recurrent *net, int batch, int time);
/* No allocation; as long as it computes. */
void recurrent_run(const struct recurrent *net, const struct recurrent_call *call);
