"""Mixing laws: one module for each, and how one is chosen."""
