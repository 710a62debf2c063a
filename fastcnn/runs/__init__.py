"""One training run from settings to a folder of results, and such a folder opened again."""
