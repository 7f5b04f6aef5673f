"""Where training samples come from: published sets, procedural scenes, and the user's own video."""
