/* rolling_sums_private.h -- the state of rolling_sums.c and its inner loops. */
#pragma once

#include "kernels/rolling_sums.h"

/* Values are worked on in groups of ROLLING_GROUP, counted from the block's beginning, whatever the
 * width of the vectors; a group that is not full yet is done again when more has come. */
enum { ROLLING_GROUP = 8, ROLLING_BLOCK = 4096, ROLLING_PIECE = 512 };

/* What is summed beside the values themselves. */
enum rolling_second { ROLLING_NO_SECOND, ROLLING_SQUARES, ROLLING_RAMP };

/* Sums over one window, of y = x - center. */
struct rolling_moments {
    double center;
    double first;  /* of y */
    double second; /* of y^2, or of place * y */
    double count;
    double places; /* of place, for the values that are there */
    double peak;   /* largest `second` since they were begun: squares only */
    size_t since;  /* values since they were begun */
    bool centered; /* a center was chosen */
};

/* Values that decide a result alone. */
struct rolling_odd {
    size_t nan, positive, negative;
};

struct rolling_sums {
    struct rolling_sums_options options;
    struct rolling_moments moments; /* of the window before values[window + done] */
    size_t block;                   /* values between two beginnings */
    size_t at, done;                /* values of this block; of these in full groups */
    size_t clean;           /* values since the last one that is not finite; before a stream: 0 */
    size_t seen;            /* of the stream, before this block; at most `window` */
    struct rolling_odd odd; /* of the window before values[window + done] */
    double low, high;       /* of the last walk: least squares about the mean, greatest `second` */
    double values[];        /* the window before the block, the block, one group of padding */
};

/* The sums of each place of the last group, for rolling_sums.c to look at. */
struct rolling_raw {
    double first[ROLLING_GROUP], second[ROLLING_GROUP], count[ROLLING_GROUP];
};

/* Chosen by isa. */
struct rolling_loops {
    /* Whole groups from..to-1 of the block; out[0] is that of `from`.  Moves s->moments on. */
    void (*walk)(struct rolling_sums *s, size_t from, size_t to, double *out, bool counted,
                 struct rolling_raw *raw);
    /* Adds up n values from *x, whose places begin with `place`; center is chosen already. */
    void (*gather)(const double *x, size_t n, double place, enum rolling_sum kind,
                   struct rolling_moments *to);
};

enum rolling_second rolling_second(enum rolling_sum kind);
const struct rolling_loops *rolling_loops(void);
