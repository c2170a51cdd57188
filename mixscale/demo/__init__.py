"""All of mixscale run once, offline, on text found on this machine."""
