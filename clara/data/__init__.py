"""Data between a dump and a batch: fetching, parsing, passages, questions, candidate pools."""
