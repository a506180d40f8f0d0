"""Layers and decoder blocks, written once over `ops`: no files, no names of other people's configuration."""
