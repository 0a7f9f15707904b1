"""Radiographs rendered to fit real annotations."""
