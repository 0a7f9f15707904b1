"""One small adapter for each data set, and one interface."""
