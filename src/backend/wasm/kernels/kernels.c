// All kernels as one translation unit.
#include "linear.c"
#include "interpreter.c"
