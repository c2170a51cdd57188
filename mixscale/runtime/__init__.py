"""What several packages need to run tasks in other processes and on other machines."""
