/* recurrent_cells.h -- what becomes of a layer's sums, once for each vector width.
 *
 * Included by what has LANES, LEAST, MOST, TARGET and NAME(word) defined; takes nothing of it away,
 * and defines INLINE.
 */

typedef float NAME(vec) __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t NAME(ints) __attribute__((vector_size(LANES * sizeof(float))));

#define INLINE TARGET static inline __attribute__((always_inline))

INLINE NAME(vec) NAME(load)(const float *p)
{
    NAME(vec) v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE NAME(vec) NAME(bound)(NAME(vec) x)
{
    const NAME(vec) most = (NAME(vec)){0} + RECURRENT_EXP_MOST;
    return LEAST(MOST(x, -most), most);
}

/* 2^x = power * (1 + p) for |x| <= RECURRENT_EXP_MOST, of which p is exact near 0: x is cut into a
 * whole number (found by adding 1.5 * 2^23) and r from -1/2 to 1/2; p = 2^r - 1 is r times a
 * polynomial fitted for the least relative error of 2^r (Lawson's algorithm): 1.1e-7, below one
 * unit in the last place. */
INLINE void NAME(exp)(NAME(vec) x, NAME(vec) * p, NAME(vec) * power)
{
    const float whole = 12582912.0F;
    NAME(vec) shifted = x + whole, r = x - (shifted - whole);
    NAME(vec) q = r * 0x1.5caadap-10F + 0x1.3cdb4p-7F;
    q = q * r + 0x1.c6b3a6p-5F;
    q = q * r + 0x1.ebf9f2p-3F;
    q = q * r + 0x1.62e43p-1F;
    *p = q * r;
    NAME(ints) bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000;
    memcpy(power, &bits, sizeof bits);
}

/* 1 / sigma(x) = 1 + e^-x, for a sum of weights that were packed as -log2 e of them: sum = -x log2
 * e */
INLINE NAME(vec) NAME(inverse_sigma)(NAME(vec) sum)
{
    NAME(vec) p, power;
    NAME(exp)(NAME(bound)(sum), &p, &power);
    return power * p + (power + 1.0F);
}

/* e^-2x - 1, of which tanh(x) = -v / (v + 2); exact where x is small; sum = -2 x log2 e */
INLINE NAME(vec) NAME(tanh_part)(NAME(vec) sum)
{
    NAME(vec) p, power;
    NAME(exp)(NAME(bound)(sum), &p, &power);
    return power * p + (power - 1.0F);
}

/* LSTM (Hochreiter and Schmidhuber 1997, with forget gates; PyTorch's torch.nn.LSTM): sums are
 * those of i f g o; c' = sigma(f) c + sigma(i) tanh(g), h' = sigma(o) tanh(c').  Each has one
 * division, over a common denominator. */
INLINE void NAME(cell_lstm)(const NAME(vec) sums[4], float *c, float *h)
{
    NAME(vec)
    i = NAME(inverse_sigma)(sums[0]), f = NAME(inverse_sigma)(sums[1]),
    g = NAME(tanh_part)(sums[2]);
    NAME(vec) ig = i * (g + 2.0F);
    NAME(vec) cell = (NAME(load)(c) * ig - g * f) / (f * ig);
    memcpy(c, &cell, sizeof cell);
    NAME(vec)
    o = NAME(inverse_sigma)(sums[3]), t = NAME(tanh_part)(cell * RECURRENT_TANH);
    NAME(vec) state = -t / (o * (t + 2.0F));
    memcpy(h, &state, sizeof state);
}

/* GRU (Cho et al. 2014; PyTorch's torch.nn.GRU): sums are those of r z, of n's inputs and of n's
 * states; n = tanh(nx + sigma(r) nh), h' = n + sigma(z) (h - n). */
INLINE void NAME(cell_gru)(const NAME(vec) sums[4], float *old, float *h)
{
    NAME(vec) r = NAME(inverse_sigma)(sums[0]), z = NAME(inverse_sigma)(sums[1]);
    NAME(vec) t = NAME(tanh_part)(sums[2] + sums[3] / r);
    NAME(vec) n = -t / (t + 2.0F);
    NAME(vec) state = n + (NAME(load)(old) - n) / z;
    memcpy(h, &state, sizeof state);
}

/* The sums as they are: dense layers. */
INLINE void NAME(cell_dense)(const NAME(vec) sums[4], float *unused, float *out)
{
    (void)unused;
    memcpy(out, sums, 4 * sizeof sums[0]);
}

/* Sums of weights that were not packed as exponents. */
INLINE void NAME(cell_lstm_bf16)(const NAME(vec) sums[4], float *c, float *h)
{
    const NAME(vec) all[4] = {sums[0] * RECURRENT_SIGMA, sums[1] * RECURRENT_SIGMA,
                              sums[2] * RECURRENT_TANH, sums[3] * RECURRENT_SIGMA};
    NAME(cell_lstm)(all, c, h);
}

INLINE void NAME(cell_gru_bf16)(const NAME(vec) sums[4], float *old, float *h)
{
    const NAME(vec) all[4] = {sums[0] * RECURRENT_SIGMA, sums[1] * RECURRENT_SIGMA,
                              sums[2] * RECURRENT_TANH, sums[3] * RECURRENT_TANH};
    NAME(cell_gru)(all, old, h);
}
