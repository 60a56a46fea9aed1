"""Joint models beyond one group of latent variables: each differs from a VAE in its `terms`."""

from elbox.models.gmvae import GMVAE

__all__ = ["GMVAE"]
