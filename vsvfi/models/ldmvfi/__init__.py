"""LDMVFI: see README.md."""
