/* recurrent_low_end.h -- takes away what recurrent_low_isa.h was told, and what it left. */
#undef LIST
#undef INLINE
#undef DOT
#undef SUM
#undef NAME
#undef TARGET
#undef MOST_INTS
#undef MOST
#undef LEAST
#undef BYTES
#undef BLOCKS
#undef ROWS
#undef LANES
