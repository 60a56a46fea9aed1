"""`python -m reproduce NAME [options]`: run one reproduction; without a name, list them."""

from __future__ import annotations

import importlib
import sys

NAMES = {
    "ppca": "linear_vae on digits reaches the maximum-likelihood value of probabilistic PCA",
    "burda": "Burda et al. (2016), table 1, one layer: NLL after 40 passes, k = 1 and 5, or --passes 364",
    "latent_sizes": "Kingma & Welling (2014), figure 2: the bound for latent dimensions 3 … 200",
    "discrete": "Tucker et al. (2017), Grathwohl et al. (2018): estimators for 200 bits, order and gaps",
    "disentanglement": "Chen et al. (2018) on dSprites: TC falls as its weight rises, at less distortion than β-VAE's",
    "aevb": "Kingma & Welling (2014), figures 2 and 3: AEVB against wake–sleep and Monte-Carlo EM",
    "bayesian": "full variational Bayes over the decoder's weights against MAP, on 100 to 1000 digits",
    "hyperspherical": "Davidson et al. (2018), table 1: spheres against normal codes of 2, 5, 10, 20 dimensions",
    "manifold": "Kingma & Welling (2014), figure 4: the 2-D manifold of MNIST",
    "recipes": "every recipe as it comes, on MNIST or what it is made for: distortion, rate, log p(x), seconds",
    "toy_posteriors": "banana, ring and two modes with known evidence: the gap that each flow posterior closes",
    "latent_diffusion": "second stages on MNIST or Fashion: bound and samples before and after",
    "codes": "VQ-VAE and FSQ on Fashion-MNIST with an autoregressive second stage: bits/dim, codes used",
    "autoencoders": "Ghosh et al. (2020), table 1 on MNIST: RAE, WAE and VAE, by a classifier-based distance",
    "clustering": "VaDE or GMVAE on MNIST: clustering accuracy of three seeds, clusters drawn",
    "posteriors_priors": "posteriors and priors with one network on MNIST and OMNIGLOT: log p(x) and gaps",
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print("\n".join(f"{name:14s}{what}" for name, what in NAMES.items()))
        raise SystemExit(0 if len(sys.argv) < 2 else 2)
    importlib.import_module(f"reproduce.{sys.argv[1]}").main(sys.argv[2:])
