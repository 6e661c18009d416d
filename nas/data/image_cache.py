"""Decoded images on disk: a folder for each part of a data set, with one file of bytes that processes map.

    images/<family>-<key>/images.bin     N·C·H·W bytes
                          files.npy      (N, 16): name, size and time of each file, as a digest
                          log            a line for each block that is decoded, with its CRC-32
                          header.json    written last, so that what has one is complete
                          lock           held by who makes it, and shared by who maps it

The key is made of names, sizes and times of all files, of how they are decoded, and by which version of Pillow; the family
leaves out the files, so that images of a folder in which some have changed are taken over, and what is outdated is removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import shutil
import socket
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

import numpy as np
import numpy.typing as npt
import PIL

from nas.data.cache_folder import cache_folder
from nas.data.decoding import Block, NoSpace, cores, decode_into
from nas.data.images import Faults
from nas.data.stored import Images, Places, runs
from nas.data.task import Progress, Tell, silent
from nas.errors import DataError
from nas.system.memory import byte_size

FORMAT: Final = 1
"""Counted up when the folder changes, or how a file becomes an image."""
BLOCK: Final = 64
"""Images that are decoded, written and checked together."""
CHECKED: Final = 8
"""Blocks that are read at each start, to see whether the file is what was written; others each time."""
SPARE_SHARE: Final = 0.05
"""Share of a disk that is left free."""
SAY_SECONDS: Final = 30.0
"""Between two lines that say how far it is."""
READ_BYTES: Final = 1 << 20
"""Bytes that are best read together from a disk."""
DIGEST: Final = 16


class NoCache(Exception):
    """Why images cannot be kept on disk, in words."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files in an order, packed: a million paths take much room as objects."""

    packed: bytes
    count: int

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Self:
        """These files, by their absolute paths."""
        here = os.getcwd()  # noqa: PTH109
        names = [os.path.join(here, path) for path in paths]  # noqa: PTH118
        return cls(zlib.compress(b"\0".join(map(os.fsencode, names)), 1), len(names))

    def names(self) -> list[str]:
        """The paths."""
        return [os.fsdecode(name) for name in zlib.decompress(self.packed).split(b"\0")]


@dataclass(frozen=True)
class Request:
    """What is to be read: files, and how they become images. Plain data, which processes on other machines get."""

    data: str
    """The data set and its part, as people read them."""
    files: ImageFiles
    shape: tuple[int, ...]
    """(C, H, W) of an image."""
    resized: bool
    reduced: bool
    family: str
    key: str

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return self.files.count * int(np.prod(self.shape))


def make_request(
    data: str, names: Sequence[str], files: ImageFiles, shape: tuple[int, ...], *, resized: bool, reduced: bool
) -> Request:
    """A request for the images of these files, as they are now."""
    common = os.path.commonpath({os.path.dirname(name) for name in names})  # noqa: PTH120
    family = hashlib.sha256(json.dumps([*_settings(shape, resized, reduced), data, common]).encode()).hexdigest()[:16]
    return Request(data, files, shape, resized, reduced, family, _key(shape, resized, reduced, digests(names)))


def _settings(shape: tuple[int, ...], resized: bool, reduced: bool) -> list[Any]:
    return [FORMAT, PIL.__version__, shape[1:] if resized else None, reduced]


def _key(shape: tuple[int, ...], resized: bool, reduced: bool, files: npt.NDArray[np.uint8]) -> str:
    return hashlib.sha256(json.dumps(_settings(shape, resized, reduced)).encode() + files.tobytes()).hexdigest()[:24]


def digests(names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """(N, 16): of each file name, size and time of its last change."""
    found = bytearray()
    for name in names:
        try:
            status = os.stat(name)  # noqa: PTH116
            facts = f"\0{status.st_size}\0{status.st_mtime_ns}"
        except OSError:
            facts = "\0"  # what is wrong with it is said when it is read
        found += hashlib.blake2b(os.fsencode(name) + facts.encode(), digest_size=DIGEST).digest()
    return np.frombuffer(bytes(found), dtype=np.uint8).reshape(-1, DIGEST)


@dataclass(eq=False)
class CachedImages:
    """Images in a file of the cache of the machine that this process runs on. Made there where it is not."""

    request: Request
    unusable: dict[int, str] = field(default_factory=dict)
    """Rows of files that cannot be read, with the reason."""
    _mapped: Images | None = field(default=None, repr=False)
    _file: IO[bytes] | None = field(default=None, repr=False)
    _used: IO[bytes] | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)"""
        return (self.request.files.count, *self.request.shape)

    @property
    def key(self) -> str:
        """Equal where every byte is."""
        return self.request.key

    @property
    def block(self) -> int:
        """Images whose bytes are best read together from a disk."""
        return max(1, READ_BYTES // int(np.prod(self.request.shape)))

    @property
    def mapped(self) -> Images:
        """All images, in memory that every process of the machine shares, and that the system takes back when it needs it."""
        if self._mapped is None:  # another process has opened it, perhaps on another machine
            try:
                self.open()
            except NoCache as problem:
                raise DataError(
                    f"{self.request.data}: cannot be kept decoded on {socket.gethostname()}: {problem}; name a folder there with "
                    "NAS_CACHE, or use --no-data-cache"
                ) from None
        assert self._mapped is not None
        return self._mapped

    def read(self, rows: Places, out: Images) -> None:
        """Copies the images of these rows, which ascend, to `out`; what is read takes no memory of this process."""
        self.mapped  # noqa: B018  (the file is open then, and stays so though it is removed)
        assert self._file is not None
        size = int(np.prod(self.request.shape))
        flat = out.reshape(-1).data
        for first, last in runs(rows):
            place, wanted = int(rows[first]) * size, flat[first * size : last * size]
            while len(wanted):
                got = os.preadv(self._file.fileno(), [wanted], place)
                if not got:
                    raise DataError(f"{self._file.name}: has become shorter; start again, and it is made anew")
                place, wanted = place + got, wanted[got:]

    def open(self, tell: Tell = silent, progress: Progress | None = None) -> None:
        """Maps the file, after making it where it is not there or is damaged.

        Raises DataError for images that cannot be used, and NoCache where there is no room.
        """
        request, folder = self.request, _folder_of(self.request)
        with _locked(folder, tell) as may_write:
            header = _complete(folder, request, tell if may_write else silent, may_write=may_write)
            if header is None and not may_write:
                raise NoCache(f"{folder.parent} cannot be written")
            if header is None:
                header = _make(folder, request, tell, progress)
            else:
                tell(f"{request.data}: {byte_size(request.nbytes)} of images in {folder} (nas cache)")
            with suppress(OSError):
                os.utime(folder)  # when it was last used
            self._used = _share(folder)
            self._file = (folder / "images.bin").open("rb", buffering=0)
        self.unusable = {int(row): str(why) for row, why in header["unusable"].items()}
        self._mapped = np.memmap(self._file, dtype=np.uint8, mode="r", shape=self.shape)

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process."""
        return {**self.__dict__, "_mapped": None, "_file": None, "_used": None}


def _folder_of(request: Request) -> Path:
    """The folder of what is asked for, whichever data set it was made for."""
    images = cache_folder() / "images"
    return min(images.glob(f"*-{request.key}"), default=images / f"{request.family}-{request.key}")


@contextmanager
def _locked(folder: Path, tell: Tell) -> Iterator[bool]:
    """Makes the folder, and keeps others from making the same; whoever is doing it is waited for.

    The lock goes with the process, however it ends. Gives whether the folder can be written. Raises NoCache where it is not there
    and cannot be made.
    """
    try:
        file = _lock(folder, tell)
    except OSError as problem:
        if not folder.is_dir():
            raise NoCache(f"{folder.parent} cannot be written ({problem.strerror or problem})") from None
        yield False
        return
    with file:
        yield True


def _lock(folder: Path, tell: Tell) -> IO[bytes]:
    while True:
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        folder.parent.mkdir(mode=0o700, exist_ok=True)  # the photos may be private
        folder.mkdir(exist_ok=True)
        file = (folder / "lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"images: waits for another process, which makes or looks at {folder}")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            return file  # a file system without locks: two that make the same write the same bytes to the same places
        with suppress(OSError):
            if (folder / "lock").stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()  # whoever held it has removed the folder


def _share(folder: Path) -> IO[bytes] | None:
    """Says, as long as this process has the images, that it uses them: what is in use is not removed."""
    with suppress(OSError):
        file = (folder / "used").open("ab")
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return file
    return None


# What is there --------------------------------------------------------------------------------------------------------------


def _complete(folder: Path, request: Request, tell: Tell, *, may_write: bool) -> dict[str, Any] | None:
    """The header of a folder that is complete and sound; None, after one line where it is damaged."""
    if not (folder / "header.json").exists():
        return None
    problem = "its header cannot be read"
    header = read_header(folder)
    if header is not None:
        problem = _damage(folder, header, request)
        if not problem:
            return header
    tell(f"images: {folder} is damaged ({problem}), and made again")
    if not may_write:
        return None
    for name in ("header.json", "images.bin", "log", "files.npy"):
        (folder / name).unlink(missing_ok=True)
    return None


def read_header(folder: Path) -> dict[str, Any] | None:
    """What a complete folder says of itself; None where it is not there or makes no sense."""
    try:
        header = json.loads((folder / "header.json").read_text(encoding="utf-8"))
        images, shape, crcs = header["images"], header["shape"], header["crcs"]
        sound = (
            header["format"] == FORMAT
            and type(images) is int
            and len(shape) == 3
            and all(type(extent) is int and extent > 0 for extent in shape)
            and len(crcs) == -(-images // BLOCK)
            and all(0 <= int(row) < images for row in header["unusable"])
            and type(header["changed"]) is int
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return header if sound else None


def _damage(folder: Path, header: dict[str, Any], request: Request) -> str:
    """What is wrong with a folder, in words; empty where nothing is found.

    A few blocks are read at each start, all where the file was written to after it was made.
    """
    try:
        status = (folder / "images.bin").stat()
    except OSError:
        return "no file of images"
    if header["images"] != request.files.count or header["shape"] != list(request.shape):
        return "its header is of other images"
    if status.st_size != request.nbytes:
        return f"{status.st_size:,} bytes, not {request.nbytes:,}"
    number = len(header["crcs"])
    changed = status.st_mtime_ns != header["changed"]
    chosen = range(number) if changed else {0, number - 1, *random.Random().sample(range(number), min(CHECKED, number))}
    if _wrong_block(folder, request, {place: header["crcs"][place] for place in chosen}) is not None:
        return "bytes have changed"
    if changed:  # it was copied, say
        with suppress(OSError):
            _write_json(folder / "header.json", {**header, "changed": status.st_mtime_ns})
    return ""


def _wrong_block(folder: Path, request: Request, crcs: dict[int, int]) -> int | None:
    """The first of these blocks whose bytes have another CRC-32."""
    size = BLOCK * int(np.prod(request.shape))
    with (folder / "images.bin").open("rb") as file:
        for place in sorted(crcs):
            file.seek(place * size)
            if zlib.crc32(file.read(min(size, request.nbytes - place * size))) != crcs[place]:
                return place
    return None


# What is made ---------------------------------------------------------------------------------------------------------------


def _make(folder: Path, request: Request, tell: Tell, progress: Progress | None) -> dict[str, Any]:
    """Decodes the images to the folder, going on where a process was killed. Returns the header."""
    names = request.files.names()
    now = digests(names)
    if _key(request.shape, request.resized, request.reduced, now) != request.key:
        raise DataError(
            f"{request.data}: image files have changed since they were listed, or are not on {socket.gethostname()}"
        )
    started = said = time.monotonic()
    total = request.files.count
    file = folder / "images.bin"
    try:
        crcs = _resumed(folder, request)
        _reserve(file, request.nbytes)
        np.save(folder / "files.npy", now, allow_pickle=False)
        with (folder / "log").open("a", encoding="ascii") as log:
            crcs |= _taken_over(folder, request, now, crcs, log.write)
            log.flush()
            done, waiting = min(total, BLOCK * len(crcs)), _blocks(names, crcs)
            known = f", {done:,} of which are there already" if crcs else ""
            processes = min(cores(), len(waiting))
            many = "process" if processes == 1 else "processes"
            tell(
                f"{request.data}: {total:,} images{known} are decoded by {processes} {many} and kept in "
                f"{folder} ({byte_size(request.nbytes)})"
            )
            faults = Faults(total)
            for found in decode_into(
                file, waiting, request.shape, processes, resized=request.resized, reduced=request.reduced
            ):
                faults.unusable |= {Path(name): why for name, why in found.unusable.items()}
                faults.other_sizes |= {Path(name): size for name, size in found.other_sizes.items()}
                if not found.unusable and not found.other_sizes:
                    log.write(f"{found.block.number} {found.crc}\n")
                    log.flush()
                crcs[found.block.number] = found.crc
                done = min(total, done + len(found.block.paths))
                if progress is not None:
                    progress(done, total)
                if time.monotonic() - said > SAY_SECONDS:
                    said = time.monotonic()
                    tell(f"{request.data}: {done:,} of {total:,} decoded")
        row_of = {name: row for row, name in enumerate(names)}
        header = {
            "format": FORMAT,
            "data": request.data,
            "images": total,
            "shape": list(request.shape),
            "pillow": PIL.__version__,
            "unusable": {row_of[str(path)]: why for path, why in faults.unusable.items()},
            "crcs": [crcs[number] for number in range(len(crcs))],
        }
        if faults.other_sizes:
            raise OtherSizes(faults)
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        _write_json(folder / "header.json", {**header, "changed": file.stat().st_mtime_ns})
        (folder / "log").unlink(missing_ok=True)
    except (OSError, NoSpace) as problem:
        shutil.rmtree(folder, ignore_errors=True)
        raise NoCache(f"{folder} cannot be written ({getattr(problem, 'strerror', None) or problem})") from None
    _remove_outdated(folder, request)
    tell(f"{request.data}: decoded in {time.monotonic() - started:.1f} s")
    return {**header, "changed": 0}


class OtherSizes(Exception):
    """Images that are not of the size of the first."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.faults = faults


def _blocks(names: Sequence[str], done: dict[int, int]) -> list[Block]:
    starts = enumerate(range(0, len(names), BLOCK))
    return [Block(number, start, tuple(names[start : start + BLOCK])) for number, start in starts if number not in done]


def _resumed(folder: Path, request: Request) -> dict[int, int]:
    """The CRC-32 of each block that is decoded already, which another process has logged before it was killed."""
    try:
        lines = (folder / "log").read_text(encoding="ascii").splitlines()
        size = (folder / "images.bin").stat().st_size
    except (OSError, ValueError):
        return {}
    if size != request.nbytes:
        return {}
    crcs = {}
    for line in lines:
        parts = line.split()
        if len(parts) == 2 and all(part.isdecimal() for part in parts):  # the last may be cut off
            crcs[int(parts[0])] = int(parts[1])
    blocks = -(-request.files.count // BLOCK)
    # A machine that went down may have kept the log and not the bytes.
    return {
        place: crc
        for place, crc in crcs.items()
        if place < blocks and _wrong_block(folder, request, {place: crc}) is None
    }


def _reserve(file: Path, size: int) -> None:
    """Takes room for the file, so that none is missing in the middle. Raises NoCache where there is not enough."""
    there = file.stat().st_size if file.exists() else 0
    usage = shutil.disk_usage(file.parent)
    wanted, left = size - there, usage.free - int(SPARE_SHARE * usage.total)
    if wanted > left:
        shutil.rmtree(file.parent, ignore_errors=True)
        raise NoCache(
            f"{file.parent.parent} has no room for {byte_size(size)}: {byte_size(usage.free)} are free, and "
            f"{SPARE_SHARE:.0%} of the disk stay so"
        )
    opened = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened, 0, size)
        os.truncate(opened, size)
    finally:
        os.close(opened)


def _taken_over(
    folder: Path, request: Request, now: npt.NDArray[np.uint8], done: dict[int, int], log: Callable[[str], object]
) -> dict[int, int]:
    """Blocks whose images an outdated folder of the same family has, copied from there; the CRC-32 of each."""
    if done:
        return {}
    found: dict[int, int] = {}
    size = int(np.prod(request.shape))
    for other in sorted(folder.parent.glob(f"{request.family}-*")):
        header = read_header(other)
        if other == folder or header is None or header["shape"] != list(request.shape):
            continue
        try:
            theirs = np.load(other / "files.npy", allow_pickle=False)
            if theirs.shape != (header["images"], DIGEST) or theirs.dtype != np.uint8:
                continue
            x = np.memmap(other / "images.bin", dtype=np.uint8, mode="r", shape=(header["images"], size))
        except (OSError, ValueError):
            continue
        rows = {theirs[row].tobytes(): row for row in range(len(theirs)) if str(row) not in header["unusable"]}
        wanted = np.array([rows.get(one.tobytes(), -1) for one in now], dtype=np.int64)
        with (folder / "images.bin").open("r+b", buffering=0) as file:
            for number, start in enumerate(range(0, len(now), BLOCK)):
                some = wanted[start : start + BLOCK]
                if number in found or (some < 0).any():
                    continue
                block = np.take(x, some, axis=0)
                file.seek(start * size)
                file.write(block.data)
                found[number] = zlib.crc32(block.data)
                log(f"{number} {found[number]}\n")
    return found


def _remove_outdated(folder: Path, request: Request) -> None:
    """Removes what the folder takes the place of, where nobody uses it."""
    for other in folder.parent.glob(f"{request.family}-*"):
        if other != folder:
            remove(other)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    """Writes the whole file or nothing."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with part.open("w", encoding="utf-8") as file:
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


# What a user sees of it -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A folder of decoded images."""

    folder: Path
    data: str
    """What it is of; empty where it was not finished, or is damaged."""
    images: int
    shape: tuple[int, ...]
    nbytes: int
    """Bytes that it takes on the disk."""
    used: float
    """When it was last used, in seconds since 1970."""
    complete: bool
    in_use: bool


def entries() -> list[Entry]:
    """Everything in the cache of this user, the one that was used last first."""
    found = []
    for folder in (cache_folder() / "images").glob("*-*"):
        with suppress(OSError):
            header = read_header(folder)
            used = sum(file.stat().st_blocks * 512 for file in folder.iterdir())
            known = header or {"data": "", "images": 0, "shape": ()}
            found.append(
                Entry(
                    folder,
                    str(known["data"]),
                    known["images"],
                    tuple(known["shape"]),
                    used,
                    folder.stat().st_mtime,
                    header is not None,
                    _in_use(folder),
                )
            )
    return sorted(found, key=lambda entry: -entry.used)


def remove(folder: Path) -> bool:
    """Removes a folder of the cache, unless a process uses it or makes it. Returns whether it did."""
    with ExitStack() as held, suppress(OSError):
        for name in ("lock", "used"):
            if (folder / name).exists():
                file = held.enter_context((folder / name).open("ab"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / "header.json").unlink(missing_ok=True)  # first: what has none is not taken for complete
        shutil.rmtree(folder)
        return True
    return False


def _in_use(folder: Path) -> bool:
    for name in ("lock", "used"):
        try:
            with (folder / name).open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            continue
    return False
