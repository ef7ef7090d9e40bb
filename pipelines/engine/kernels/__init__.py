"""Kernels of our own for decoding on a CPU, where torch reads weights at half the speed of memory."""
