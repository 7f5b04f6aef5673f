"""The published losses of all families. Images are [B, 3, H, W] in [0, 1] unless a function says otherwise."""
