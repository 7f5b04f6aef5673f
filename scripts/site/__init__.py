"""Pages of the documentation site that are written from code, and the links between pages of the repository."""
