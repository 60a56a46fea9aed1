"""Published results, reproduced: one command each, `python -m reproduce NAME`; results are kept in RESULTS.md."""
