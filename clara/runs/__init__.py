"""A run as a whole: what it would do, what that costs, whether its results fit the settings, how far it is."""
