"""How a run is executed and recorded: fresh notebooks, kernels, and which notebook made which file."""
