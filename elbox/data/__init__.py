"""Data: sources, checks, splits and binarisation. Values stay in their own units; the protocol stands beside every
number.

- `load` a catalogue name, a file or a folder of images; `from_array` what is in memory; `reload` exactly what a run
  used.
- `Data` holds three disjoint `Split`s, the `DataSpec` of an example, and the binarisation `Protocol`.
- `as_examples` checks new data against a spec; `open_examples` also those that do not fit into memory.
- `Rows` are examples that stay on disk, and are read in slices.
- `synthetic` draws sets whose evidence is known.
"""

from elbox.data import synthetic
from elbox.data.binarise import PROTOCOLS, AsFloat, DynamicBinarise, Protocol, bernoulli_draw
from elbox.data.catalogue import CATALOGUE, describe_catalogue
from elbox.data.examples import as_examples, open_examples
from elbox.data.load import from_array, load, reload
from elbox.data.rows import Rows
from elbox.data.splits import Data, Split, random_split

__all__ = [
    "AsFloat",
    "CATALOGUE",
    "Data",
    "DynamicBinarise",
    "PROTOCOLS",
    "Protocol",
    "Rows",
    "Split",
    "as_examples",
    "bernoulli_draw",
    "describe_catalogue",
    "from_array",
    "load",
    "open_examples",
    "random_split",
    "reload",
    "synthetic",
]
