"""What a run keeps: parameters in, files out, resumable."""
