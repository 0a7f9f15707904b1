"""The figures, one file for each notebook."""
