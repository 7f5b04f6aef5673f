"""VFIMamba: frame interpolation with a selective scan over both frames at once."""
