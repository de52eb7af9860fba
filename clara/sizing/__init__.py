"""Memory, time and GPUs of every step, estimated from the configuration (formulas: docs/cluster.md)."""
