"""The kinds of fields a State is made of, one a file."""
