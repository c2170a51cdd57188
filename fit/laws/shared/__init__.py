"""Numerics that several laws share."""
