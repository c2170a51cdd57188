"""The files that pass between the packages: a module for each kind, with schema, reader, writer."""
