"""What an evaluation reports, and that it leaves no trace."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from elbox import (
    ELBO,
    IWAE,
    VAE,
    DataError,
    DataSpec,
    IncompatibleError,
    NonFiniteError,
    SettingError,
    ShapeError,
    likelihoods,
    posteriors,
    priors,
    recipes,
)
from elbox.evaluate import Evaluation, MeanSE, encode, evaluate, held_out, log_likelihood, manifold
from elbox.nn import MLP
from tests.evaluate.toys import Undescribed, two_of_five

BINARY = DataSpec((6,), "binary")


def small(latent: int = 3) -> VAE:
    return recipes.vae(BINARY, latent=latent, hidden=(4,)).model


def binary(n: int, *shape: int) -> torch.Tensor:
    return (torch.rand(n, *(shape or (6,))) < 0.5).float()


def test_means_and_standard_errors_are_numpys() -> None:
    result = evaluate(small(), binary(20), samples=5)
    for name in ("elbo", "distortion", "rate", "log_likelihood", "bits_per_dim", "ess"):
        values, estimate = result.per_example[name], getattr(result, name)
        assert values.shape == (20,)
        assert estimate.mean == pytest.approx(np.mean(values), rel=1e-12)
        assert estimate.se == pytest.approx(np.std(values, ddof=1) / np.sqrt(20), rel=1e-12)


def test_signs_and_sums() -> None:
    result = evaluate(small(), binary(20), samples=50)
    assert result.distortion.mean > 0
    assert result.rate.mean > 0
    assert result.elbo.mean == pytest.approx(-(result.distortion.mean + result.rate.mean))
    assert result.elbo.mean <= result.log_likelihood.mean < 0
    assert 1 <= result.ess.mean <= 50
    assert sum(result.rate_per_dimension) == pytest.approx(result.rate.mean, rel=1e-5)


def test_bits_per_dimension_of_a_uniform_model_is_the_log_of_the_number_of_levels() -> None:
    decoder = MLP(2, [], (4, 3, 5))
    nn.init.zeros_(decoder.net[0].weight)
    encoder = MLP((3, 5), [], (2, 2))
    model = VAE(priors.StandardNormal(2), likelihoods.Categorical(decoder), posteriors.DiagonalNormal(encoder, 2))
    nn.init.zeros_(encoder.net[0].weight)  # q = p
    result = evaluate(model, torch.randint(4, (6, 3, 5)), samples=3)
    assert result.bits_per_dim.mean == pytest.approx(2, rel=1e-6)
    assert result.dims == 15
    assert result.rate.mean == pytest.approx(0, abs=1e-6)


def test_doubling_the_data_doubles_the_distortion() -> None:
    decoder = MLP(2, [], 8)
    nn.init.zeros_(decoder.net[0].weight)
    narrow = VAE(
        priors.StandardNormal(2), likelihoods.Bernoulli(decoder), posteriors.DiagonalNormal(MLP(8, [], (2, 2)), 2)
    )
    assert evaluate(narrow, binary(3, 8), samples=2).distortion.mean == pytest.approx(8 * math.log(2))


@pytest.mark.parametrize("samples", [1, 50])
def test_two_of_five_units_are_active(samples: int) -> None:
    result = evaluate(two_of_five(), torch.randn(200, 6), samples=samples)
    assert result.active_units == 2
    assert result.most_active(2) == [4, 1]
    assert result.variance_of_means[4] == pytest.approx(2.25, rel=0.3)
    assert result.rate_per_dimension[0] == pytest.approx(0, abs=1e-6)


def test_active_units_of_a_posterior_without_a_known_mean() -> None:
    """Means of 50 samples vary by 1/50 > 0.01 even where the true means do not; that much is taken off."""
    model = two_of_five()
    model.posterior = Undescribed(model.posterior)
    x = torch.randn(500, 6)
    result = evaluate(model, x, samples=50)
    assert result.active_units == 2
    assert result.variance_of_means[1] == pytest.approx(evaluate(two_of_five(), x).variance_of_means[1], abs=0.02)
    assert not result.closed_form
    assert result.rate_per_dimension == ()  # a transformed distribution does not say that it factorises
    assert evaluate(model, x[:3], samples=1).active_units is None


def test_no_rate_per_dimension_where_the_posterior_does_not_factorise() -> None:
    result = evaluate(recipes.vae_full_covariance(BINARY, latent=3, hidden=(4,)).model, binary(4), samples=2)
    assert result.closed_form
    assert result.rate_per_dimension == ()
    assert len(result.variance_of_means) == 3


def test_an_autoencoder_has_a_distortion_only() -> None:
    recipe = recipes.ae(BINARY, latent=3, hidden=(4,))
    result = evaluate(recipe.model, binary(5), samples=1000)
    assert result.samples == 1
    assert result.distortion.mean > 0
    assert {result.rate, result.elbo, result.log_likelihood, result.bits_per_dim, result.ess, result.active_units} == {
        None
    }
    assert len(result.variance_of_means) == 3
    assert [name for name, _, _ in result.rows()] == ["distortion", "examples"]
    values = held_out(recipe.model, binary(5), recipe.objective)
    assert values["bound"] == pytest.approx(-values["distortion"])
    assert set(values) == {"bound", "distortion"}
    with pytest.raises(IncompatibleError, match="no density"):
        log_likelihood(recipe.model, binary(5), 3)


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (DataSpec((3, 9, 11), "levels", levels=8), 8),
        (DataSpec((1, 28, 20), "binary"), 2),
        (DataSpec((2, 3, 4), "count"), 5),
        (DataSpec((7,), "real"), 3),
    ],
    ids=str,
)
def test_any_shape_and_kind_as_bytes_or_floats(spec: DataSpec, values: int) -> None:
    make = recipes.conv_vae if spec.is_image and spec.event_shape[1] > 8 else recipes.vae
    model = make(spec, latent=2).model
    x = torch.randint(values, (4, *spec.event_shape), dtype=torch.uint8)
    result = evaluate(model, x, samples=6)
    assert (result.n, result.dims) == (4, spec.dims)
    assert result == evaluate(model, x.float(), samples=6)
    assert encode(model, x).shape == (4, 2)


def test_a_condition_goes_along_with_its_examples() -> None:
    encoder, decoder = MLP(6, [4], (2, 2), context=3), MLP(2, [4], 6, context=3)
    model = VAE(priors.StandardNormal(2), likelihoods.Bernoulli(decoder), posteriors.DiagonalNormal(encoder, 2))
    x, c = binary(40), torch.eye(3).repeat(14, 1)[:40]
    rates = evaluate(model, x, c=c, samples=2, memory=2000).per_example["rate"]
    alone = [evaluate(model, x[i : i + 1], c=c[i : i + 1], samples=2).rate.mean for i in range(40)]
    np.testing.assert_allclose(rates, alone, rtol=1e-5)
    assert log_likelihood(model, x, 2, c=c).shape == (40,)
    assert set(held_out(model, x, ELBO(), c=c)) == {"bound", "elbo", "distortion", "rate"}
    with pytest.raises(ShapeError, match="a condition for each"):
        evaluate(model, x, c=c[:3])


@pytest.mark.parametrize("memory", [2**28, 3000])
def test_the_same_seed_gives_the_same_numbers(memory: int) -> None:
    model, x = small(), binary(30)
    first = evaluate(model, x, samples=7, seed=3, memory=memory)
    torch.rand(5)
    again = evaluate(model, x, samples=7, seed=3, memory=memory)
    assert first == again
    assert all((first.per_example[k] == again.per_example[k]).all() for k in first.per_example)
    assert first != evaluate(model, x, samples=7, seed=4, memory=memory)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: evaluate(m, x, samples=3),
        lambda m, x: log_likelihood(m, x, 3),
        lambda m, x: held_out(m, x, IWAE(3)),
        lambda m, x: encode(m, x),
        lambda m, x: manifold(m, 3),
    ],
    ids=["evaluate", "log_likelihood", "held_out", "encode", "manifold"],
)
def test_nothing_is_left_changed(call: Any) -> None:
    model, x = small(2), binary(5)
    model.train()
    model.posterior.eval()
    modes = [m.training for m in model.modules()]
    state, weights = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    torch.set_float32_matmul_precision("medium")
    try:
        call(model, x)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert [m.training for m in model.modules()] == modes
    assert (torch.get_rng_state() == state).all()
    assert all((weights[k] == v).all() for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_modes_and_random_numbers_are_put_back_after_an_error_too() -> None:
    model, x = small().train(), binary(5, 7)
    state = torch.get_rng_state()
    with pytest.raises(ShapeError):
        evaluate(model, x)
    assert model.training
    assert (torch.get_rng_state() == state).all()


def test_full_precision_and_evaluation_mode_whatever_surrounds_it() -> None:
    seen = []

    class Watch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            products = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
            seen.append((self.training, torch.is_grad_enabled(), *products))
            return x

    model = small().train()
    model.likelihood.net = nn.Sequential(Watch(), model.likelihood.net)
    x = binary(5)
    plain = evaluate(model, x, samples=3)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert evaluate(model, x, samples=3) == plain
    finally:
        torch.set_float32_matmul_precision("highest")
    assert set(seen) == {(False, False, "highest", False)}
    assert torch.backends.cudnn.allow_tf32  # torch's default, as it was


def test_held_out_is_the_same_each_time_and_at_full_weight() -> None:
    recipe = recipes.beta_vae(BINARY, latent=2, hidden=(4,), beta=4.0)
    x = binary(11)
    values = held_out(recipe.model, x, recipe.objective)
    assert values == held_out(recipe.model, x, recipe.objective)
    assert values["bound"] == values["elbo"] == -(values["distortion"] + values["rate"])
    assert all(type(v) is float for v in values.values())
    assert values["rate"] == pytest.approx(evaluate(recipe.model, x, samples=1).rate.mean)
    assert values == held_out(recipe.model, x, recipe.objective.bound())


def test_progress_counts_examples_to_the_end() -> None:
    steps: list[tuple[int, int]] = []
    evaluate(small(), binary(100), samples=1000, progress=lambda done, total: steps.append((done, total)))
    assert steps == sorted(set(steps))
    assert len(steps) > 1
    assert steps[-1] == (100, 100)


def test_weights_that_are_not_finite_are_an_error_and_not_a_table() -> None:
    model = small()
    with torch.no_grad():
        model.likelihood.net.net[0].weight[0, 0] = math.nan
    for call in (evaluate, log_likelihood):
        with pytest.raises(NonFiniteError, match=r"got a .* of nan nats for example 0; .*likelihood.net.net.0.weight"):
            call(model, binary(3), samples=3)
    assert math.isnan(held_out(model, binary(3), ELBO())["bound"])  # the training loop says where it happened


class Counted:
    """Rows that note how many are asked for at a time."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x, self.shape, self.most = x, x.shape, 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, key: slice) -> torch.Tensor:
        part = self.x[key]
        self.most = max(self.most, len(part))
        return part


@pytest.mark.parametrize("call", [evaluate, log_likelihood])
@pytest.mark.parametrize(("memory", "most"), [(20_000, 208), (1, 1), (2**28, 500)])
def test_no_more_rows_are_looked_at_than_fit_into_the_budget(call: Any, memory: int, most: int) -> None:
    x = Counted(binary(500).byte())
    call(small(), x, samples=1, memory=memory)
    assert x.most == most


def test_statistics_over_examples_do_not_depend_on_the_chunks() -> None:
    model, x = two_of_five().double(), torch.randn(300, 6)
    with torch.no_grad():
        model.posterior.net.net[0].bias[1] = 1e6  # squares minus squares would cancel
    means = encode(model, x).numpy()
    for memory in (2**28, 20_000, 1):
        result = evaluate(model, x, samples=2, memory=memory)
        np.testing.assert_allclose(result.variance_of_means, means.var(0, ddof=1), rtol=1e-7)
        np.testing.assert_allclose(result.rate_per_dimension, np.square(means).mean(0) / 2, rtol=1e-7, atol=1e-12)


def test_memory_does_not_grow_with_examples_times_dimensions() -> None:
    """Codes and rates of 40 000 examples in 200 dimensions take 64 MB each in float64."""
    pytest.importorskip("resource")
    program = """
        import resource
        import torch
        from elbox import DataSpec, recipes
        from elbox.evaluate.bounds import bounds
        model = recipes.vae(DataSpec((4,), "binary"), latent=200, hidden=(4,)).model
        x = torch.ones(40_000, 4, dtype=torch.uint8)
        bounds(model, x[:1000], samples=1, memory=1 << 22, precision="32")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        bounds(model, x, samples=1, memory=1 << 22, precision="32")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert int(out.stdout) < 32 * 1024  # KiB


def test_data_that_are_not_finite_or_impossible_are_an_error() -> None:
    model = recipes.vae(DataSpec((6,), "real"), latent=2, hidden=(4,)).model
    x = torch.randn(70, 6)
    x[41, 2] = math.nan
    with pytest.raises(DataError, match=r"got NaN in row 41"):
        evaluate(model, x, samples=3)
    for bad in (0.5, 2.0, -1.0):
        x = torch.ones(70, 6)
        x[41, 2] = bad
        with pytest.raises(DataError, match=r"in row 41 that Bernoulli gives no probability"):
            evaluate(small(), x, samples=3)
        with pytest.raises(DataError, match=r"in row 41 that Bernoulli gives no probability"):
            evaluate(small(), x, samples=3, memory=500)


@pytest.mark.parametrize(
    ("x", "options", "error", "match"),
    [
        (torch.ones(3, 6), {"samples": 0}, SettingError, "samples=0"),
        (torch.ones(3, 6), {"memory": 0}, SettingError, "memory=0"),
        (torch.ones(0, 6), {}, DataError, "no examples"),
        (torch.ones(6), {}, ShapeError, r"expected \[N, \*event\]"),
        (torch.ones(3, 7), {}, ShapeError, r"\(1, 7\)"),
    ],
)
def test_mistakes_are_named(x: torch.Tensor, options: dict, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        evaluate(small(), x, **options)


@pytest.mark.parametrize("n", [1, 5])
def test_json_and_back(n: int) -> None:
    result = evaluate(small(), binary(n), samples=3)
    text = json.dumps({"protocol": "binary data as they are", **result.to_json()}, allow_nan=False)
    back = Evaluation.from_json(json.loads(text))
    assert back.to_json() == result.to_json()
    assert back.rows() == result.rows()
    assert "per_example" not in json.loads(text)


def test_a_table_row_for_every_number() -> None:
    rows = evaluate(small(), binary(9), samples=20).rows()
    assert [name for name, _, _ in rows] == [
        "log p(x), 20 samples",
        "bits per dimension",
        "ELBO",
        "distortion",
        "rate, closed form",
        "mutual information",
        "total correlation",
        "dimension-wise KL",
        "effective sample size",
        "active units",
        "examples",
    ]
    assert [unit for _, _, unit in rows] == ["nats", "bits", *["nats"] * 6, "of 20", "of 3", ""]
    assert all(" ± " in value for _, value, _ in rows[:9])


@pytest.mark.parametrize(
    ("mean", "se", "text"),
    [
        (-86.3512, 0.1234, "-86.35 ± 0.12"),
        (-86.3512, 1.94, "-86.4 ± 1.9"),
        (-1234.5, 23.0, "-1234 ± 23"),
        (0.158912, 0.00042, "0.15891 ± 0.00042"),
        (3.0, 0.0, "3.00 ± 0.00"),
        (3.0, math.nan, "3.00"),
    ],
)
def test_errors_have_two_digits(mean: float, se: float, text: str) -> None:
    assert str(MeanSE(mean, se)) == text
