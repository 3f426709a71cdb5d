// All kernels, one translation unit.
#include "linear.c"
#include "walk.c"
