"""The frozen encoder's features: encoded once, memory-mapped, shared by all runs and processes.

Dinomaly trains without augmentation and its encoder is frozen, so the group means of an image are
constants. They are kept per category in ``<cache>/features/<encoder id>/<images id>.bin`` with a
``.json`` header beside it. The header is written last and atomically: a file without one is an
unfinished build and is built again. Safe to delete at any time.

Where the disk budget is too small, images stream through the encoder instead; batched
otherwise, the encoder may round otherwise, so results agree up to rounding.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import filelock
import torch
from pydantic import TypeAdapter
from torch import Tensor

from model.code_identity import combined, modules_below
from model.config import ImageConfig, ModelConfig, dump_config
from model.data.config import PseudoConfig
from model.data.dataset import Dataset
from model.data.hashing import content_hash, hash_file
from model.data.pseudo import Copy
from model.data.samples import Sample
from model.data.transforms import load_image
from model.encoders.base import EncoderShape
from model.encoders.build import entry_of, weights_fingerprint
from model.errors import DataError, StorageError
from model.files import replacing, write_bytes
from model.machine import available_cores
from model.teacher import Teacher, build_teacher

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what)."""
Encodable = Sample | Copy
"""What is encoded: an image as it is, or a copy of it with pseudo-defects."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ENCODE_BATCH = 16
"""Images encoded at once on an accelerator."""
CPU_ENCODE_BATCH = 4
"""On a CPU, where a layer's maps should stay in the cache: 1.8 times as fast as 16 (efficientnet-lite0)."""
DECODED_AHEAD = 2
"""Batches that are decoded while one is encoded."""
#: Part of every cache name: raise it when the meaning of the stored numbers changes.
FORMAT = 1


class Features(Protocol):
    """Group means of a fixed sequence of images."""

    @property
    def samples(self) -> tuple[Encodable, ...]:
        """The images, in order."""
        ...

    @property
    def shape(self) -> EncoderShape:
        """Of the encoder."""
        ...

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Group means [b, G, T, C], float32 on the CPU, of the samples at ``indices`` [b]."""
        ...


class CachedFeatures:
    """Memory-mapped group means; see :class:`Features`."""

    def __init__(
        self, samples: tuple[Encodable, ...], shape: EncoderShape, parts: Sequence[Tensor]
    ) -> None:
        self.samples = samples
        self.shape = shape
        self._parts = list(parts)
        lengths = torch.tensor([len(part) for part in parts])
        self._part_of = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        self._row_of = torch.cat([torch.arange(len(part)) for part in parts])

    def __getitem__(self, indices: Tensor) -> Tensor:
        """See :class:`Features`."""
        rows = [
            self._parts[int(part)][int(row)]
            for part, row in zip(self._part_of[indices], self._row_of[indices], strict=True)
        ]
        return torch.stack(rows).float()


class StreamedFeatures:
    """Group means computed on demand; see :class:`Features`."""

    def __init__(
        self,
        samples: tuple[Encodable, ...],
        teacher: Teacher,
        image: ImageConfig,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.samples = samples
        self.shape = teacher.shape
        self._teacher, self._image, self._dtype, self._device = teacher, image, dtype, device

    def __getitem__(self, indices: Tensor) -> Tensor:
        """See :class:`Features`."""
        images = load_images([self.samples[int(i)] for i in indices], self._image)
        groups = self._teacher(images.to(self._device))
        # Rounded as the cache would round, so that both ways give the same training.
        return groups.to(self._dtype).float().cpu()


def load_images(samples: Sequence[Encodable], image: ImageConfig) -> Tensor:
    """Network inputs [len(samples), 3, crop_h, crop_w], decoded by a few threads."""
    return next(load_batches([samples], image))


def load_batches(batches: Iterable[Sequence[Encodable]], image: ImageConfig) -> Iterator[Tensor]:
    """Network inputs [b, 3, crop_h, crop_w] of each batch, decoded by a few threads a little ahead."""

    def load(picture: Encodable) -> Tensor:
        if isinstance(picture, Copy):
            return picture.load(image)
        return load_image(picture.image_path, image)

    with ThreadPoolExecutor(max_workers=min(4, available_cores())) as pool:
        waiting: deque[list[Future[Tensor]]] = deque()
        try:
            for batch in batches:
                waiting.append([pool.submit(load, picture) for picture in batch])
                if len(waiting) > DECODED_AHEAD:
                    yield torch.stack([future.result() for future in waiting.popleft()])
            while waiting:
                yield torch.stack([future.result() for future in waiting.popleft()])
        finally:  # whoever stops early does not wait for what it will not read
            for future in itertools.chain.from_iterable(waiting):
                future.cancel()


def encode_batch(device: torch.device) -> int:
    """Images to encode at once on ``device``."""
    return CPU_ENCODE_BATCH if device.type == "cpu" else ENCODE_BATCH


def encoder_id(config: ModelConfig) -> str:
    """Hex name of everything but the images that the cached numbers depend on."""
    values, name = dump_config(config), config.encoder.name
    content = {
        "format": FORMAT,
        "encoder": name,
        "weights": weights_fingerprint(config.encoder),
        "blocks": values["encoder"]["blocks"],
        "groups": values["groups"],
        "image": values["image"],
        "dtype": config.cache.dtype,
        "code": combined(
            modules_below(("model.teacher", "model.data.transforms"), entries=[entry_of(name).build])
        ),
    }
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=10).hexdigest()


def cache_bytes(config: ModelConfig, shape: EncoderShape, images: int) -> int:
    """Disk needed for ``images`` images, in bytes."""
    width = DTYPES[config.cache.dtype].itemsize
    return images * config.stored_count * shape.tokens * shape.dim * width


@dataclass(frozen=True)
class _Part:
    """One category's file: its samples, in the order of its rows."""

    category: str
    samples: tuple[Encodable, ...]
    digest: str
    """Hash of the images' contents, and of what is drawn on them: the file's name."""
    read: Mapping[Path, str]
    """Image files, and what they held when the dataset was read."""

    @classmethod
    def of(cls, dataset: Dataset, category: str) -> _Part:
        """Train and test samples, ordered by content: another split of the same images is the same file."""
        samples = (*dataset.train(category), *dataset.test(category))
        ordered = tuple(sorted(samples, key=dataset.content.__getitem__))
        digest = _digest("/".join(dataset.content[sample] for sample in ordered))
        return cls(category, ordered, digest, {s.image_path: dataset.content[s] for s in ordered})

    @classmethod
    def of_copies(cls, dataset: Dataset, category: str, config: PseudoConfig) -> _Part:
        """The copies of the training samples, those of one image side by side."""
        ordered = sorted(dataset.train(category), key=dataset.content.__getitem__)
        copies = tuple(
            Copy(sample, dataset.content[sample], number, config)
            for sample in ordered
            for number in range(config.copies)
        )
        drawn = {k: v for k, v in config.drawn.items() if k not in ("copies", "share")}
        what = [drawn, combined(modules_below(("model.data.pseudo",)))]
        contents = [f"{copy.content} {copy.number}" for copy in copies]
        digest = _digest(json.dumps([what, contents]))
        return cls(category, copies, digest, {s.image_path: dataset.content[s] for s in ordered})

    def check_unchanged(self) -> None:
        """Raise DataError if an image is not what it was when the dataset was read."""
        if any(hash_file(path) != content for path, content in self.read.items()):
            raise DataError(
                f"images of '{self.category}' were changed while they were being encoded",
                hint="run the study again once nobody writes to them",
            )


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def open_features(
    config: ModelConfig,
    dataset: Dataset,
    categories: Sequence[str],
    *,
    cache_dir: Path,
    device: torch.device,
    progress: Progress,
    verify: bool = False,
) -> Features:
    """Features of all samples of some categories of a dataset; missing ones are encoded first.

    Parameters
    ----------
    cache_dir: root of the cache. verify: compare checksums too, and rebuild what does not match.
    progress: told of every batch while encoding.

    Raises
    ------
    StorageError: the cache cannot be written, or the disk is too full (says how much is needed).
    DataError: an image cannot be read, or was changed while it was being encoded.
    """
    parts = [_Part.of(dataset, category) for category in categories]
    return _open(config, parts, cache_dir=cache_dir, device=device, progress=progress, verify=verify)


def open_copies(
    config: ModelConfig,
    dataset: Dataset,
    categories: Sequence[str],
    *,
    cache_dir: Path,
    device: torch.device,
    progress: Progress,
    verify: bool = False,
) -> Features:
    """As :func:`open_features`, of the copies that ``data.pseudo`` draws of the training samples."""
    parts = [_Part.of_copies(dataset, category, dataset.config.pseudo) for category in categories]
    return _open(config, parts, cache_dir=cache_dir, device=device, progress=progress, verify=verify)


def _open(
    config: ModelConfig,
    parts: Sequence[_Part],
    *,
    cache_dir: Path,
    device: torch.device,
    progress: Progress,
    verify: bool,
) -> Features:
    folder = cache_dir / "features" / encoder_id(config)
    samples = tuple(sample for part in parts for sample in part.samples)
    loader = _Loader(config, folder, device, progress)
    headers: list[_Header] = []
    total = len(samples)
    done = 0
    for part in parts:
        header = _read_header(folder / part.digest, verify=verify)
        if header is None:
            teacher = loader.teacher()
            if cache_bytes(config, teacher.shape, total) > config.cache.budget_gb * 1e9:
                dtype = DTYPES[config.cache.dtype]
                return StreamedFeatures(samples, teacher, config.image, dtype, device)
            header = loader.build(part, done, total)
        headers.append(header)
        done += len(part.samples)
    maps = [_map(folder / part.digest, header) for part, header in zip(parts, headers, strict=True)]
    return CachedFeatures(samples, headers[0].encoder, maps)


@dataclass(frozen=True)
class _Header:
    """What the ``.json`` beside a feature file says."""

    shape: tuple[int, int, int, int]
    """n, G, T, C."""
    dtype: Literal["float32", "bfloat16", "float16"]
    checksum: str
    encoder: EncoderShape
    torch: str
    device: str

    @property
    def numbers(self) -> int:
        """How many the file holds."""
        return math.prod(self.shape)


_HEADER = TypeAdapter(_Header)


class _Loader:
    """Builds the encoder at most once, and only if something has to be encoded."""

    def __init__(self, config: ModelConfig, folder: Path, device: torch.device, progress: Progress) -> None:
        self.config, self.folder, self.device, self.progress = config, folder, device, progress
        self._teacher: Teacher | None = None

    def teacher(self) -> Teacher:
        if self._teacher is None:
            self._teacher = build_teacher(self.config).to(self.device)
        return self._teacher

    def build(self, part: _Part, done: int, total: int) -> _Header:
        """Encode one category under its lock; whoever waits finds it built."""
        stem = self.folder / part.digest
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(f"{stem}.lock"):
                header = _read_header(stem, verify=False)
                return header or self._encode(part, stem, done, total)
        except OSError as error:
            raise StorageError(
                f"cannot write the feature cache in {self.folder}: {error.strerror or error}",
                hint="free some space, or choose another folder with --cache",
            ) from error

    def _encode(self, part: _Part, stem: Path, done: int, total: int) -> _Header:
        teacher = self.teacher()
        shape = teacher.shape
        need = cache_bytes(self.config, shape, len(part.samples))
        free = shutil.disk_usage(self.folder).free
        if need > free:
            raise StorageError(
                f"the features of '{part.category}' need {need / 1e9:.2f} GB, {free / 1e9:.2f} GB are free "
                f"in {self.folder}",
                hint="free some space, choose another folder with --cache, or set cache.budget_gb: 0",
            )
        dtype = DTYPES[self.config.cache.dtype]
        checksum = hashlib.blake2b(digest_size=16)
        note = f"encoding {part.category} ({cache_bytes(self.config, shape, total) / 1e9:.2g} GB in all)"
        with replacing(stem.with_name(f"{stem.name}.bin")) as stream:
            batches = _batches(part.samples, encode_batch(self.device))
            for images in load_batches(batches, self.config.image):
                groups = teacher(images.to(self.device)).to(dtype).cpu().contiguous()
                raw = groups.view(torch.uint8).numpy().tobytes()
                checksum.update(raw)
                stream.write(raw)
                done += len(images)
                self.progress(done, total, note)
        part.check_unchanged()  # else the features of other images stand under this name for ever
        header = _Header(
            shape=(len(part.samples), self.config.stored_count, shape.tokens, shape.dim),
            dtype=self.config.cache.dtype,
            checksum=checksum.hexdigest(),
            encoder=shape,
            torch=torch.__version__,
            device=str(self.device),
        )
        write_bytes(stem.with_name(f"{stem.name}.json"), _HEADER.dump_json(header, indent=1))
        return header


def _batches(items: Sequence[Encodable], size: int) -> Iterator[Sequence[Encodable]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _read_header(stem: Path, *, verify: bool) -> _Header | None:
    """The header of a finished build, or None where there is none or it does not match its file."""
    path, data = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.bin")
    try:
        header = _HEADER.validate_json(path.read_bytes())
        size = data.stat().st_size
    except (OSError, ValueError):  # pydantic's is a ValueError
        return None
    expected = header.numbers * DTYPES[header.dtype].itemsize
    if size != expected or (verify and content_hash(data) != header.checksum):
        path.unlink(missing_ok=True)
        return None
    return header


def _map(stem: Path, header: _Header) -> Tensor:
    """The file as a tensor [n, G, T, C], mapped privately: nothing written can reach the file."""
    path = str(stem.with_name(f"{stem.name}.bin"))
    flat = torch.from_file(path, shared=False, size=header.numbers, dtype=DTYPES[header.dtype])
    return flat.reshape(header.shape)  # [n, G, T, C]
