"""Checks the shapes and types in the signatures of functions that tests call; see conftest."""

from beartype import BeartypeConf, FrozenDict, beartype
from torch import Tensor

from lookwhere_cli.models.chosen import Chosen, Coarse, Selection

# beartype knows no generic named tuples. Their arrays are checked by the functions that take them apart.
GENERIC = {kind[Tensor]: tuple for kind in (Chosen, Coarse, Selection)}

check = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict(GENERIC)))
