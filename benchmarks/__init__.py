"""The kernel measured: speed against baselines, memory, compilation and latency."""
