"""Benchmarks: our path against its plain twin, in FLOPs and seconds."""
