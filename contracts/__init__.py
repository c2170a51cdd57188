"""The files that pass between the rooms: one module for each kind of file."""
