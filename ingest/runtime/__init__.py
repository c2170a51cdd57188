"""How a build runs: tasks, progress, the folder it works in."""
