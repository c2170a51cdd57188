"""What several packages need to run tasks on other machines."""
