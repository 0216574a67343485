/* lanes_end.h -- takes away what lanes.h defined, and what it was told. */
#undef V
#undef SELECT
#undef LESSER
#undef GREATER
#undef WIDEN
#undef NARROW
#undef SCAN
#undef ADD_UP
#undef LAST
#undef BELOW1
#undef BELOW2
#undef BELOW4
#undef LANE
#undef TOTAL
#undef LANES
#undef TARGET
#undef NAME
