"""How the tasks of a build run, where they write, and what is printed meanwhile."""
