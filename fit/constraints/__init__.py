"""Which mixtures the constraints allow, and which constraints conflict."""
