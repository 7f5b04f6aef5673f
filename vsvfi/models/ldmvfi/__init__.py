"""LDMVFI: frame interpolation with a latent diffusion model."""
