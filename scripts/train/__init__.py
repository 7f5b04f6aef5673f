"""Training of the packaged model from procedural samples; see README.md."""
