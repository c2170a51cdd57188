"""What is fitted: measured runs, tables of them, and the question asked of them."""
