"""Making runs: one from a seed or from a list of choices, many in a row or in several processes, and their results."""
