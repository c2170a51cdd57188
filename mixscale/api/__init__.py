"""What `import mixscale as ms` offers to notebooks and scripts."""
