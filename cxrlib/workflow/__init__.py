"""How a run is executed and recorded: which notebooks are fresh, in which kernels the others run, who made what."""
