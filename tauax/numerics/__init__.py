"""Sine and cosine, addressed random numbers, circular arithmetic and fixed-order sums."""
