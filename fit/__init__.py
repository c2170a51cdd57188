"""Measured runs in, a defended data mixture out."""
