"""What a compressed message says of itself: what was done to each of its arrays.

The schema comes from a peer that is not trusted. It is read strictly, and nothing in it decides how much
memory is taken: that is for the shapes which the reader expects (:mod:`hqgnet.exchange.compression.message`).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hqgnet.exchange.update import MalformedMessageError

VERSION: Literal[1] = 1
MOST_ARRAYS = 100_000
LARGEST_SIDE = 2**40
# Powers of two by which float32 numbers are brought into float16's range and back.
LEAST_EXPONENT, LARGEST_EXPONENT = -100, 128


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Entry(_Strict):
    """One array.

    Attributes:
        name: Its name.
        shape: Its shape.
        stored: Bytes that it takes in this message.
        zstd: Whether they are a zstd frame.
    """

    name: Annotated[str, Field(max_length=500)]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=LARGEST_SIDE)]], Field(max_length=8)]
    stored: Annotated[int, Field(ge=0)]
    zstd: bool = False

    @property
    def size(self) -> int:
        """Numbers in the array."""
        return math.prod(self.shape)


class Unchanged(_Entry):
    """The base itself: no bytes are stored."""

    codec: Literal["unchanged"] = "unchanged"
    dtype: Literal["float32", "int64"]


class Exact(_Entry):
    """Difference of the bit patterns: nothing is lost."""

    codec: Literal["exact"] = "exact"
    dtype: Literal["float32", "int64"]


class Float16(_Entry):
    """Difference as float16, times a power of two.

    Attributes:
        exponent: Of two; the largest difference lies below that power.
    """

    codec: Literal["float16"] = "float16"
    dtype: Literal["float32"] = "float32"
    exponent: Annotated[int, Field(ge=LEAST_EXPONENT, le=LARGEST_EXPONENT)]


class BFloat16(_Entry):
    """Difference as bfloat16: the upper halves of float32 numbers, stored as whole numbers of 16 bits."""

    codec: Literal["bfloat16"] = "bfloat16"
    dtype: Literal["float32"] = "float32"


class Int8(_Entry):
    """Difference as whole numbers from -127 to 127, times a scale.

    Attributes:
        scales: How many: one a row (output channel), or one for all.
    """

    codec: Literal["int8"] = "int8"
    dtype: Literal["float32"] = "float32"
    scales: Annotated[int, Field(ge=1)]


class TopK(_Entry):
    """The largest differences as float16, times a power of two, and how many numbers lie between them.

    Attributes:
        kept: How many.
        gap_bytes: Bytes of a gap.
        exponent: As for :class:`Float16`.
    """

    codec: Literal["topk"] = "topk"
    dtype: Literal["float32"] = "float32"
    kept: Annotated[int, Field(ge=1)]
    gap_bytes: Literal[2, 4]
    exponent: Annotated[int, Field(ge=LEAST_EXPONENT, le=LARGEST_EXPONENT)]


Entry = Annotated[Unchanged | Exact | Float16 | BFloat16 | Int8 | TopK, Field(discriminator="codec")]


class Schema(_Strict):
    """Stands before the bytes of a message.

    Attributes:
        version: Of this form.
        base: What differences are from: zero, or the arrays that the sender received.
        arrays: In the order of their bytes.
    """

    version: Literal[1] = VERSION
    base: Literal["zero", "received"]
    arrays: Annotated[list[Entry], Field(max_length=MOST_ARRAYS)]


def read_schema(text: bytes) -> Schema:
    """Read a schema from a peer that is not trusted.

    Raises:
        MalformedMessageError: If it is none of this version, names a codec that is not known, or an array
            twice.
    """
    try:
        schema = Schema.model_validate_json(text)
    except ValidationError as error:
        raise MalformedMessageError("the compressed arrays have no proper schema") from error
    if len({entry.name for entry in schema.arrays}) != len(schema.arrays):
        raise MalformedMessageError("a compressed array is described twice")
    return schema
