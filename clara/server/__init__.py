"""The server behind `clara serve`: one model and one store, over HTTP, many clients at once."""
