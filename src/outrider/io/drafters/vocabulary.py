"""A reduced draft vocabulary: from the offsets and flags of published files to the target's ids, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from outrider.core.draft_spec import DraftSpec
from outrider.errors import CheckpointError
from outrider.io.drafters.names import FLAGS, OFFSETS, Offer
from outrider.io.drafters.store import TensorStore

_INTEGERS = (torch.int64, torch.int32)


def read_draft_ids(spec: DraftSpec, files: Offer, store: TensorStore) -> Tensor | None:
    """The target's id of each row of the head; None for a full vocabulary. A full map is not looked at.

    Shapes: int64 [draft vocabulary], ascending.
    Raises: CheckpointError where the map is missing, out of range, not ascending or at odds with the flags.
    """
    if not spec.has_reduced_vocab:
        return None
    ids = _ids(spec, files, store)
    if bool((ids < 0).any()) or bool((ids >= spec.stack.vocab_size).any()):
        raise CheckpointError(f"{files.where}: 'd2t' leads out of the vocabulary of {spec.stack.vocab_size}")
    if not bool((ids[1:] > ids[:-1]).all()):
        raise CheckpointError(f"{files.where}: 'd2t' must lead to ascending ids")
    _check_flags(spec, ids, files, store)
    return ids


def offsets_of(ids: Tensor) -> Tensor:
    """As `d2t` keeps them."""
    return ids - torch.arange(len(ids))


def flags_of(ids: Tensor, vocab_size: int) -> Tensor:
    """As `t2d` keeps them."""
    flags = torch.zeros(vocab_size, dtype=torch.bool)
    flags[ids] = True
    return flags


def _ids(spec: DraftSpec, files: Offer, store: TensorStore) -> Tensor:
    count = spec.draft_vocab_size
    if OFFSETS not in files.files:
        raise CheckpointError(
            f"{files.where}: the tensor 'd2t' is missing (a draft vocabulary of {count} of {spec.stack.vocab_size})"
        )
    name = files.files[OFFSETS]
    if store.shapes[name] != (count,) or store.dtypes[name] not in _INTEGERS:
        given = f"{store.dtypes[name]} {list(store.shapes[name])}".removeprefix("torch.")
        raise CheckpointError(f"{files.where}: the tensor '{name}' is {given}, expected int64 [{count}]")
    return store.tensor(name).to(torch.int64) + torch.arange(count)


def _check_flags(spec: DraftSpec, ids: Tensor, files: Offer, store: TensorStore) -> None:
    if FLAGS not in files.files:
        return
    name = files.files[FLAGS]
    if store.shapes[name] != (spec.stack.vocab_size,):
        raise CheckpointError(
            f"{files.where}: the tensor '{name}' has the shape {list(store.shapes[name])}, "
            f"expected [{spec.stack.vocab_size}]"
        )
    if not torch.equal(store.tensor(name).bool(), flags_of(ids, spec.stack.vocab_size)):
        raise CheckpointError(f"{files.where}: 'd2t' and '{name}' keep different tokens")
