"""Compare models on a user's own video: remove every second frame, predict it, score the prediction."""
