"""Training samples of what the plain ones lack: lettering, thin periodic things, drawings, fast and many movers."""
