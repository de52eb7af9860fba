"""Training: one loop, one objective a stage."""
