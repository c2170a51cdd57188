"""Which records a domain takes."""
