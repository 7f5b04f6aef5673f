"""Map output frames to source frames and timesteps, in exact arithmetic."""
