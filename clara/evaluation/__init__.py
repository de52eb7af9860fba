"""Predicting, scoring and reporting."""
