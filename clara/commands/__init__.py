"""The commands of `clara`, by family; `clara/cli.py` lists them."""
