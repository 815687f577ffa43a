"""What a .ckpt of PyTorch holds, read without torch and without running anything from it.

Since PyTorch 1.6 a .ckpt is a zip archive: one pickle describes the tensors, and their numbers lie
uncompressed in records beside it. Every class and function that the pickle names is replaced by an
inert one, so a training's callbacks, paths and settings do no harm and are left out.
"""

from __future__ import annotations

import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import _Unpickler
from typing import Any, BinaryIO

# Bytes of one number in each storage class of PyTorch; the dtype's name is the class's in torch.
STORAGES = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
    "UntypedStorage": ("uint8", 1),
}
DTYPES = dict(STORAGES.values()) | {"float8_e4m3fn": 1, "float8_e5m2": 1}
# Checkpoints lie in these, one inside the other, or bare.
WRAPPERS = ("state_dict", "model", "module", "state_dict_ema", "model_state_dict")


class PickleError(ValueError):
    """The file is not an archive of tensors, or is damaged. The message says in what way."""


@dataclass(frozen=True)
class Stored:
    """Where the numbers of one tensor lie.

    dtype   the name of a torch dtype
    shape   sizes
    stride  steps in numbers
    start   position in the file of the first number, in bytes
    record  position and length in bytes of the whole record that it lies in
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    start: int
    record: tuple[int, int]


def read_pickle(path: Path) -> dict[str, Stored]:
    """The tensors that a .ckpt names, from the innermost dictionary of weights.

    Raises PickleError for an archive that is damaged or holds no named tensors, OSError for a file
    that cannot be opened. Runs nothing that the file names.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            described = next((n for n in archive.namelist() if n.endswith("/data.pkl")), None)
            if described is None:
                raise PickleError("it is a zip archive without tensors")
            root = described.removesuffix("data.pkl")
            order = f"{root}byteorder"
            if order in archive.namelist() and archive.read(order) != b"little":
                raise PickleError("its numbers are big-endian")
            records = _records(archive, file, f"{root}data/")
            with archive.open(described) as content:
                return _named(_Reader(content, records).load())
    except (OSError, PickleError):
        raise
    # A damaged archive fails in many ways, and so does what a pickle may ask for.
    except Exception as error:
        raise PickleError(f"it is damaged ({error})") from error


class Inert:
    """Stands for whatever a pickle names: can be called, filled and set, and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Inert:
        return Inert()

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    def extend(self, values: Any) -> None:
        pass

    def add(self, value: Any) -> None:
        pass


@dataclass(frozen=True)
class _Named(Inert):
    """A dtype or a storage class, of which only the name is wanted."""

    name: str


@dataclass(frozen=True)
class _Storage:
    dtype: str
    start: int
    length: int


class _Reader(_Unpickler):
    """Python's own unpickler in Python: unlike the one in C, its memory follows the file's size."""

    def __init__(self, file: Any, records: dict[str, tuple[int, int]]) -> None:
        super().__init__(file, encoding="utf-8")
        self.records = records

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils":
            if name in ("_rebuild_tensor_v2", "_rebuild_tensor_v3"):
                return _rebuilt
            if name == "_rebuild_parameter":
                return _first
        if module.split(".")[0] == "torch" and (name in STORAGES or name in DTYPES):
            return _Named(name)
        return Inert

    def persistent_load(self, pid: Any) -> Any:
        _, kind, key, *_ = pid
        dtype, _ = STORAGES[kind.name]
        return _Storage(dtype, *self.records[key])


def _first(value: Any, *_: Any) -> Any:
    return value


def _rebuilt(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Any:
    """As torch's function of that name: a tensor over a storage; Inert where it makes no sense."""
    dtype = next((named.name for named in rest if isinstance(named, _Named)), None)
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        return Inert()
    dtype = dtype or storage.dtype
    size = DTYPES[dtype]
    extent = 1 + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if 0 not in shape and (offset + extent) * size > storage.length:
        raise PickleError("a tensor in it claims to be larger than its record")
    return Stored(
        dtype,
        tuple(shape),
        tuple(stride),
        storage.start + offset * size,
        (storage.start, storage.length),
    )


def _records(archive: zipfile.ZipFile, file: BinaryIO, folder: str) -> dict[str, tuple[int, int]]:
    """Where each record of numbers lies in the file: position and length in bytes."""
    found = {}
    for entry in archive.infolist():
        if not entry.filename.startswith(folder):
            continue
        if entry.compress_type != zipfile.ZIP_STORED:
            raise PickleError("its numbers are compressed")
        file.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        start = entry.header_offset + 30 + name + extra
        found[entry.filename.removeprefix(folder)] = (start, entry.file_size)
    return found


def _named(content: Any) -> dict[str, Stored]:
    """The named tensors of a checkpoint, out of the dictionaries that trainers wrap them in."""
    found = {key: value for key, value in _items(content) if isinstance(value, Stored)}
    if found:
        return found
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            return _named(content[wrapper])
    if isinstance(content, Mapping):
        return {}
    raise PickleError("it holds no named tensors")


def _items(content: Any) -> Iterator[tuple[str, Any]]:
    """Names and values; hypernetworks have lists of them under a number, joined by dots here."""
    if not isinstance(content, Mapping):
        return
    for key, value in content.items():
        if isinstance(key, str):
            yield key, value
        elif isinstance(key, int) and isinstance(value, list):
            for n, part in enumerate(value):
                yield from ((f"{key}.{n}.{name}", each) for name, each in _items(part))
