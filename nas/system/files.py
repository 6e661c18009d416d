"""Files of others read whole, with a bound on what they unpack to."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path


def read_bounded(path: Path, most: int) -> bytes:
    """The bytes of a file, unpacked where its name ends with .gz.

    Raises ValueError, which says why, for what is no regular file, cannot be read, is damaged, or holds more than `most` bytes.
    """
    check_regular(path)
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise ValueError(f"cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
    if len(data) > most:
        raise ValueError(f"holds more than {most >> 20} MiB")
    return data


def check_regular(path: Path) -> None:
    """Raises ValueError for a folder, a pipe, a device, or what is not there."""
    try:
        if not path.is_file():
            raise ValueError("is no file" if path.exists() else "no such file")
    except (OSError, UnicodeEncodeError) as problem:
        raise ValueError(f"no path ({getattr(problem, 'strerror', None) or problem})") from None


def check_parquet(path: Path, most: int) -> None:
    """Raises ValueError for a Parquet file of more than `most` cells, which a few bytes can stand for, and for a damaged one."""
    from pyarrow.parquet import ParquetFile

    check_regular(path)
    try:
        with ParquetFile(path) as file:
            cells = file.metadata.num_rows * file.metadata.num_columns
    except Exception as problem:  # whatever a damaged file makes of Arrow's reader
        raise ValueError(f"cannot be read as Parquet: {str(problem).splitlines()[0]}") from None
    if not 0 <= cells <= most:
        raise ValueError(f"has {cells:,} cells; at most {most:,}")
