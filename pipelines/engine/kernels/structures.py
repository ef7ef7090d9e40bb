"""What the kernels are given, as C lays it out; their sources say what the fields are."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_void_p
from typing import Any, ClassVar


class Int8Layer(Structure):
    """See int8.h."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *[(name, c_void_p) for name in ("weight", "scale", "surplus", "bias")],
        *[(name, c_int64) for name in ("num_inputs", "num_outputs")],
        ("num_levels", c_float),
        ("zero", c_int32),
    ]


class Norm(Structure):
    """See layers.h."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [("weight", c_void_p), ("bias", c_void_p)]


class EncoderLayer(Structure):
    """See encoder.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *[("self_norm", Norm), ("qkv", Int8Layer), ("self_out", Int8Layer)],
        *[("ffn_norm", Norm), ("fc1", Int8Layer), ("fc2", Int8Layer)],
    ]


class DecoderLayer(Structure):
    """See decoder.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *[("self_norm", Norm), ("qkv", Int8Layer), ("self_out", Int8Layer)],
        *[("cross_norm", Norm), ("cross_q", Int8Layer), ("cross_out", Int8Layer)],
        *[("ffn_norm", Norm), ("fc1", Int8Layer), ("fc2", Int8Layer)],
    ]


class CrossLayer(Structure):
    """See cross_memory.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [("cross_kv", Int8Layer)]


class Up(Structure):
    """See low_rank.h."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *[(name, c_int64) for name in ("first_output", "num_outputs", "first_rank", "num_ranks")],
        *[(name, c_void_p) for name in ("weight", "factor", "shift")],
    ]


class LowRank(Structure):
    """See low_rank.h."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *[("num_ranks", c_int64), ("num_ups", c_int64)],
        *[("down", c_void_p), ("ups", POINTER(Up))],
    ]


class EncoderAdditions(Structure):
    """See encoder.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [(name, LowRank) for name in ("qkv", "self_out", "fc1", "fc2")]


class DecoderAdditions(Structure):
    """See decoder.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        (name, LowRank) for name in ("qkv", "self_out", "cross_q", "cross_out", "fc1", "fc2")
    ]


class CrossAdditions(Structure):
    """See cross_memory.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [("cross_kv", LowRank)]


class Rows(Structure):
    """See layers.h."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *[(name, c_int64) for name in ("num_rows", "width", "inner_width")],
        *[("order", POINTER(c_int64)), ("adapters", POINTER(c_void_p)), ("hidden", c_void_p)],
    ]


class Tokens(Structure):
    """See layers.h."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [("rows", Rows), ("num_sources", c_int64), ("ends", POINTER(c_int64))]


class Sources(Structure):
    """See encoder.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *[("tokens", Tokens), ("num_layers", c_int64), ("num_heads", c_int64)],
        *[("layers", POINTER(EncoderLayer)), ("norm", Norm)],
    ]


class Memory(Structure):
    """See memory.h."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *[("start", c_void_p), ("num_sequences", c_int64), ("num_heads", c_int64)],
        *[("capacity", c_int64), ("head_dim", c_int64), ("format", c_int32)],
    ]


class EncodedSources(Structure):
    """See cross_memory.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *[("tokens", Tokens), ("num_layers", c_int64), ("layers", POINTER(CrossLayer))],
        *[("first_sequence", c_int64), ("memory", Memory)],
    ]


class Step(Structure):
    """See decoder.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *[("rows", Rows), ("num_layers", c_int64), ("layers", POINTER(DecoderLayer)), ("norm", Norm)],
        *[(name, c_void_p) for name in ("positions", "groups", "source_lengths")],
        *[("self_kv", Memory), ("cross_kv", Memory), ("aligning_layer", c_int64), ("queries", c_void_p)],
    ]


class Excluded(Structure):
    """See selection.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [("rows", c_void_p), ("columns", c_void_p), ("number", c_int64)]


class Chosen(Structure):
    """See selection.cpp."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [("number", c_int64), ("log_probs", c_void_p), ("columns", c_void_p)]
