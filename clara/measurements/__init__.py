"""Measurements that the paper's tables and figures need beside the scores of answers (docs/measurements.md)."""
