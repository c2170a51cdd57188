"""The whole house run once, offline, on text found on this machine."""
