"""What any program needs: files, errors, fingerprints, stores, devices, processes, memory, progress."""
