"""`python -m clara`: the command line."""

from clara.cli import app

app(prog_name="clara")
