"""The page's style sheet: one column, a phone's width or a comfortable line, light or dark as the reader has it."""

from __future__ import annotations

__all__ = ["CSS"]

CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f25; --muted: #5b6570; --line: #d5d9de; --soft: #f4f6f8;
  --first: #0067a5; --second: #c04a15; --quiet: #aeb6bf; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e8ebee; --muted: #a0a9b3; --line: #3a424b;
  --soft: #1d2228; --first: #62b5ee; --second: #ff9a62; --quiet: #5d6772; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: break-word;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 0.3rem; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 0 0 0.6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 0.5rem; }
section { margin-top: 2.75rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
p { margin: 0 0 0.8rem; max-width: 42rem; text-wrap: pretty; }
.lead { color: var(--muted); margin: 0; }
.protocol, .note { color: var(--muted); font-size: 0.9rem; }
.protocol b { color: var(--ink); font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0.6rem;
  margin: 1.5rem 0 0.9rem; padding: 0; }
.tiles div { max-width: 18rem; background: var(--soft); border-radius: 0.5rem; padding: 0.7rem 0.9rem 0.75rem; }
.tiles dt { color: var(--muted); font-size: 0.85rem; }
.tiles dd { margin: 0; font-size: 1.35rem; font-weight: 600; line-height: 1.35; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.tiles small { color: var(--muted); font-size: 0.8rem; font-weight: 400; display: block; }
.scroll { overflow-x: auto; margin: 0 0 0.8rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.95rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 0.45rem 0.9rem 0.45rem 0;
  border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
th { font-weight: 600; }
thead th, .facts th { color: var(--muted); font-weight: 400; }
.facts th { width: 8.5rem; }
.facts td > span { display: block; }
.numbers { margin-bottom: 1rem; }
.numbers th { width: 12.5rem; }
.numbers td { white-space: nowrap; padding-right: 1.6rem; }
.numbers .why { white-space: normal; color: var(--muted); font-size: 0.88rem; line-height: 1.45; text-wrap: pretty;
  padding-right: 0; }
.numbers td small { color: var(--muted); display: block; }
.effects td:nth-child(2) { white-space: nowrap; }
.effects tbody th { font-weight: 400; white-space: nowrap; }
.effects td > span { display: block; }
.values tbody th { font-weight: 400; }
.values th, .values td { white-space: nowrap; }
.values td { text-align: right; }
.values thead th { text-align: right; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(21rem, 100%), 1fr)); gap: 1.5rem 2.5rem;
  align-items: start; }
figure { margin: 0; max-width: 32rem; }
.wide { max-width: none; }
figcaption { max-width: 32rem; text-wrap: pretty; color: var(--muted); font-size: 0.88rem; line-height: 1.45;
  margin-top: 0.45rem; }
figure img, .strips img { display: block; width: 100%; height: auto; image-rendering: pixelated; }
.plot { display: block; width: 100%; height: auto; overflow: visible; }
.plot * { stroke-linejoin: round; }
.plot text { font-family: inherit !important; font-variant-numeric: tabular-nums; }
.strips { margin: 0; }
.strips th { width: 5.2rem; padding: 0.12rem 0.6rem 0.12rem 0; border: 0; vertical-align: middle; line-height: 1.2;
  font-size: 0.9rem; }
.strips td { padding: 0.12rem 0; border: 0; }
.strips small { display: block; color: var(--muted); font-weight: 400; font-size: 0.78rem; white-space: nowrap; }
.strips .axis { display: flex; justify-content: space-between; color: var(--muted); font-size: 0.78rem; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", Consolas, monospace;
  font-size: 0.87em; }
pre { background: var(--soft); border-radius: 0.5rem; padding: 0.8rem 0.9rem; margin: 0.2rem 0 0.9rem;
  overflow-x: auto; }
pre span { white-space: nowrap; }
pre.command { white-space: normal; }
details { margin-top: 0.6rem; }
summary { cursor: pointer; color: var(--first); }
footer { color: var(--muted); font-size: 0.85rem; margin-top: 3rem; border-top: 1px solid var(--line);
  padding-top: 1rem; }
@media (min-width: 56rem) {
  .wide { display: grid; grid-template-columns: minmax(0, 32rem) minmax(0, 1fr); gap: 2.5rem; align-items: start; }
  .wide figcaption { margin-top: 0; }
  .wide .plot { max-width: 30rem; }
}
@media (max-width: 34rem) {
  main { padding: 1.5rem 1rem 3rem; }
  h1 { font-size: 1.6rem; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tiles dd { font-size: 1.15rem; }
  .facts th, .facts td { display: block; width: auto; padding-right: 0; }
  .facts th { border: 0; padding-bottom: 0; font-size: 0.87rem; }
  .facts td { padding-top: 0; }
  .numbers tr { display: grid; grid-template-columns: 1fr auto; border-bottom: 1px solid var(--line);
    padding: 0.35rem 0; }
  .numbers tbody tr:last-child { border-bottom: 0; }
  .numbers th, .numbers td { border: 0; padding: 0.1rem 0; width: auto; }
  .numbers td { text-align: right; padding-left: 0.8rem; }
  .numbers .why { grid-column: 1 / -1; text-align: left; padding: 0 0 0.2rem; }
  .strips th { width: 4.1rem; padding-right: 0.4rem; }
  .strips small { font-size: 0.72rem; }
}
@media print { section { break-inside: avoid; } details:not([open]) > *:not(summary) { display: block; } }
"""
