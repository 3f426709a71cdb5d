// All kernels, one translation unit.
#include "linear.c"
