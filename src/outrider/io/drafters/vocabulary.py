"""A reduced draft vocabulary: from the offsets and flags of published files to the target's ids, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from outrider.core.draft_spec import DraftSpec
from outrider.errors import CheckpointError
from outrider.io.drafters.names import FLAGS, OFFSETS
from outrider.io.drafters.store import TensorStore

_INTEGERS = (torch.int64, torch.int32)


def read_draft_ids(spec: DraftSpec, store: TensorStore, *, offsets: bool = True) -> Tensor | None:
    """The target's id of each row of the head; None for a full vocabulary. A full map is not looked at.

    `offsets`: the file counts from the row's own number, not from 0.

    Shapes: int64 [draft vocabulary], ascending.
    Raises: CheckpointError where the map is missing, out of range, not ascending or at odds with the flags.
    """
    if not spec.has_reduced_vocab:
        return None
    ids = _ids(spec, store) + (torch.arange(spec.draft_vocab_size) if offsets else 0)
    if bool((ids < 0).any()) or bool((ids >= spec.stack.vocab_size).any()):
        raise CheckpointError(f"{store.where}: 'd2t' leads out of the vocabulary of {spec.stack.vocab_size}")
    if not bool((ids[1:] > ids[:-1]).all()):
        raise CheckpointError(f"{store.where}: 'd2t' must lead to ascending ids")
    _check_flags(spec, ids, store)
    return ids


def offsets_of(ids: Tensor) -> Tensor:
    """As `d2t` keeps them."""
    return ids - torch.arange(len(ids))


def flags_of(ids: Tensor, vocab_size: int) -> Tensor:
    """As `t2d` keeps them."""
    flags = torch.zeros(vocab_size, dtype=torch.bool)
    flags[ids] = True
    return flags


def _ids(spec: DraftSpec, store: TensorStore) -> Tensor:
    count, name = spec.draft_vocab_size, _find(store, OFFSETS)
    if not name:
        size = f"{count} of {spec.stack.vocab_size} tokens can be drafted"
        raise CheckpointError(f"{store.where}: the tensor '{OFFSETS}' is missing ({size})")
    if store.shapes[name] != (count,) or store.dtypes[name] not in _INTEGERS:
        given = f"{store.dtypes[name]} {list(store.shapes[name])}".removeprefix("torch.")
        raise CheckpointError(f"{store.where}: the tensor '{name}' is {given}, expected int64 [{count}]")
    return store.tensor(name).to(torch.int64)


def _check_flags(spec: DraftSpec, ids: Tensor, store: TensorStore) -> None:
    name = _find(store, FLAGS)
    if not name:
        return
    if store.shapes[name] != (spec.stack.vocab_size,):
        shapes = f"has the shape {list(store.shapes[name])}, expected [{spec.stack.vocab_size}]"
        raise CheckpointError(f"{store.where}: the tensor '{name}' {shapes}")
    if not torch.equal(store.tensor(name).bool(), flags_of(ids, spec.stack.vocab_size)):
        raise CheckpointError(f"{store.where}: '{OFFSETS}' and '{FLAGS}' keep different tokens")


def _find(store: TensorStore, name: str) -> str:
    return next((given for given in (name, f"model.{name}") if given in store.shapes), "")
