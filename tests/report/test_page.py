"""The page: whole in itself, complete, honest about what it leaves out, and the same every time."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
import torch

import elbox
from elbox import recipes, report
from elbox.errors import RunError
from elbox.report import document
from tests.report.toys import BREAKING, QUICK, binary_digits, digits, measurements, pictures, table

VOID = {"br", "img", "meta"}


class Reader(HTMLParser):
    """Checks that elements are closed in order, and collects titles, text, images and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles: list[str] = []
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.titles.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def made(run: elbox.Run, samples: int = 20) -> tuple[str, Reader]:
    page = report.page(run, run.evaluate(samples=samples))
    return page, Reader(page)


@cache
def of(name: str) -> tuple[str, Reader]:
    """The page about one of `RUNS`, made once."""
    return made(RUNS[name]())


RUNS = {
    "vae": lambda: digits(latent=2),
    "autoencoder": lambda: digits("ae", latent=2),
    "full covariance": lambda: digits("vae_full_covariance", latent=3),
    "iwae": binary_digits,
    "table": measurements,
    "counts": lambda: table("count"),
    "answers": lambda: table("binary"),
    "colour": lambda: pictures(3, 12),
    "transparent": lambda: pictures(4, 12),
    "two channels": lambda: pictures(2, 9),
    "real-valued": lambda: pictures(1, 8, "real"),
}


@pytest.mark.parametrize("name", RUNS)
def test_page_is_whole_in_itself(name):
    page, read = of(name)
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page.replace("&lt;script", "")
    assert not re.search(r"@import|url\((?!#)", page)
    for tag, attributes in read.tags:
        for key in ("src", "href", "xlink:href"):
            assert str(attributes.get(key) or "#").startswith(("#", "data:image/png;base64,")), (tag, key)
    ids = [a["id"] for _, a in read.tags if "id" in a]
    assert len(ids) == len(set(ids))
    used = {a["xlink:href"][1:] for _, a in read.tags if (a.get("xlink:href") or "").startswith("#")}
    assert used <= set(ids)


@pytest.mark.parametrize("name", RUNS)
def test_every_picture_says_what_it_shows(name):
    _, read = of(name)
    pictures = [a for tag, a in read.tags if tag == "img"]
    plots = [a for tag, a in read.tags if tag == "svg"]
    assert all(len(a["alt"] or "") > 10 and int(a["width"]) > 0 for a in pictures)
    assert all(a["role"] == "img" and len(a["aria-label"]) > 10 for a in plots)
    assert len(pictures) + len(plots) >= 4


def test_numbers_stand_with_errors_units_and_protocol():
    run = digits(latent=2)
    evaluation = run.evaluate(samples=20)
    text = Reader(report.page(run, evaluation)).text
    for value in (evaluation.elbo, evaluation.distortion, evaluation.rate, evaluation.log_likelihood, evaluation.ess):
        assert str(value).replace("-", "−") in text
    assert str(evaluation.bits_per_dim) in text
    assert "nats" in text
    assert "S = 20" in text
    assert text.count(run.protocol) >= 3
    assert f"{evaluation.active_units} of 2" in text


def test_what_was_trained_is_told():
    _, read = of("vae")
    for words in (
        "vae on digits", "1437 train, 180 validation, 180 test", "12 epochs", "AnalyticKL", "latent = 2",
        "StandardNormal prior × DiscretizedLogistic likelihood × DiagonalNormal posterior", "learning rate 0.003",
        "0 for everything random", torch.__version__, f"elbox {elbox.__version__}", "precision 32", "device cpu",
        "not compiled: as asked",
    ):  # fmt: skip
        assert words in read.text


def test_sections_of_an_image_model():
    _, read = of("vae")
    wanted = ["What was trained", "Numbers", "Learning curves", "Reconstructions", "Samples", "Interpolations"]
    assert [t for t in read.titles if t in (*wanted, "Latent space")] == [*wanted, "Latent space"]
    assert {"Manifold", "Traversals"} <= set(read.titles)
    assert "coloured and named by class (10 of them)" in read.text


def test_manifold_and_codes_only_in_two_dimensions():
    _, read = of("iwae")
    assert "Manifold" not in read.titles
    assert "at their posterior means" not in read.text


def test_autoencoder_has_neither_rate_nor_samples_and_says_why():
    page, read = of("autoencoder")
    assert "Samples" not in read.titles
    assert "Manifold" not in read.titles
    assert "A deterministic code has no density" in read.text
    assert "±" in read.text
    assert not re.search(r"ELBO over epochs|Bar chart of the rate|Effective sample size|KL\(q", page)


def test_bars_are_variances_where_the_rate_has_no_parts():
    page, read = of("full covariance")
    assert "Bar chart of the variance of the posterior means" in page
    assert "the rate is no sum over dimensions here" in read.text


def test_table_shows_columns_instead_of_pictures():
    page, read = of("table")
    assert not [a for tag, a in read.tags if tag == "img"]
    assert "Interpolations" not in read.titles
    assert {"Reconstructions", "A few rows", "Samples", "What the units do"} <= set(read.titles)
    assert "the first 12 of 30 columns" in read.text
    assert "column 3" in read.text
    assert "R² " in read.text
    assert "may be positive" in read.text  # a density is not bounded by 1
    assert "elbox.from_array(x, y" in page


def test_text_of_others_is_escaped():
    page, read = of("table")
    assert BREAKING not in page
    assert "<script" not in page
    assert f"vae on {BREAKING}" in read.titles
    assert BREAKING in read.text  # also as the name of a column in full
    assert "$x_1$" in read.text  # not typeset


def test_integers_under_a_gaussian_are_remarked_upon():
    data = elbox.load("digits")
    run = elbox.fit(recipes.linear_vae(data.spec, latent=2), data, replace(QUICK, epochs=1))
    assert "density of whole numbers" in made(run)[1].text


def test_page_leaves_no_trace_and_is_the_same_every_time():
    run = digits(latent=2)
    evaluation = run.evaluate(samples=5)
    run.model.train()
    run.model.likelihood.eval()
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    modes = [m.training for m in run.model.modules()]
    rc = dict(mpl.rcParams)
    first = report.page(run, evaluation)
    assert [m.training for m in run.model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert dict(mpl.rcParams) == rc
    torch.manual_seed(99)
    assert report.page(run, evaluation) == first
    run.model.eval()


def test_page_knows_dark_and_narrow_screens():
    page, _ = of("vae")
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert plots
    assert all("var(--ink)" in p or "var(--muted)" in p for p in plots)
    assert not any(re.search(r"#(1b1f25|626b76|fefefe)", p) for p in plots)


def test_posterior_collapse_is_said():
    run = digits(latent=2)
    evaluation = replace(run.evaluate(samples=5), active_units=0, variance_of_means=(0.001, 0.009))
    text = Reader(report.page(run, evaluation)).text
    assert "posterior collapse" in text
    assert "0 of 2 dimensions are active" in text


def test_write_puts_it_into_the_folder(tmp_path):
    data = elbox.load("digits")
    recipe = recipes.vae(data.spec, latent=2, hidden=(8,))
    run = elbox.fit(recipe, data, replace(QUICK, epochs=1), out=tmp_path / "run")
    path = report.write(run, run.evaluate(samples=2))
    assert path == tmp_path / "run" / "report.html"
    again = elbox.load_run(tmp_path / "run")
    assert report.page(again, again.evaluate(samples=2)) == path.read_text(encoding="utf-8")
    assert not list((tmp_path / "run").glob(".*tmp"))


def test_write_without_a_folder_says_what_to_do():
    with pytest.raises(RunError, match=r"without a folder; expected .*out="):
        report.write(digits(latent=2), digits(latent=2).evaluate(samples=2))


@pytest.mark.parametrize("name", ["vae", "iwae", "table", "answers", "colour"])
def test_page_is_small_and_quick(name):
    run = RUNS[name]()
    evaluation = run.evaluate(samples=2)
    start = time.process_time()
    page = report.page(run, evaluation)
    assert time.process_time() - start < 15  # under a second on an idle core; annotations are checked here
    assert len(page) < 1_000_000


@pytest.mark.slow
def test_page_of_large_incompressible_pictures_stays_small():
    run = pictures(3, 96)
    assert len(report.page(run, run.evaluate(samples=2))) < 2_000_000


def test_importing_the_package_does_not_import_matplotlib():
    code = "import elbox.report, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert document.__all__ == ["page", "write"]
