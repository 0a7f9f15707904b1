"""The report: one HTML file with everything that a run made, beside the thesis."""
