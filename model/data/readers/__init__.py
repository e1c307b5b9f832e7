"""One reader per dataset layout; all yield :class:`~model.data.samples.Sample` records."""

from __future__ import annotations

from model.data.readers.folder import read_folder
from model.data.readers.loco import read_loco
from model.data.readers.magnetic_tile import read_magnetic_tile
from model.data.readers.mvtec import read_mvtec
from model.data.readers.mvtec_ad2 import read_mvtec_ad2
from model.data.readers.reader import Reader
from model.data.readers.realiad import read_realiad
from model.data.readers.stripes import locate_stripes, read_stripes
from model.data.readers.visa import read_visa
from model.errors import ConfigError

READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        Reader(
            "stripes",
            "built in: three drawn surfaces with blobs and scratches, streaks, faint broken rows",
            "no root; drawn into the cache folder on demand",
            read_stripes,
            locate=locate_stripes,
        ),
        Reader(
            "mvtec",
            "MVTec AD, VisA converted to it, MPDD and own data in the same layout",
            "<category>/train/good, test/<type>, ground_truth/<type>/<stem>_mask.png",
            read_mvtec,
        ),
        Reader(
            "mvtec_ad2",
            "MVTec AD 2, public test set",
            "<category>/train/good, test_public/{good,bad}, test_public/ground_truth/bad/<stem>_mask.png",
            read_mvtec_ad2,
            frozenset({"validation", "test_private", "test_private_mixed"}),
        ),
        Reader(
            "loco",
            "MVTec LOCO AD; the union of an image's masks counts",
            "<category>/train/good, test/<type>, ground_truth/<type>/<stem>/*.png",
            read_loco,
            frozenset({"validation"}),
        ),
        Reader(
            "btad",
            "BTAD: MVTec AD's layout with ok and ko",
            "<category>/train/ok, test/{ok,ko}, ground_truth/ko/<stem>.{png,bmp}",
            read_mvtec,
        ),
        Reader(
            "visa",
            "VisA as downloaded, with its published one-class split",
            "split_csv/1cls.csv, <category>/Data/Images/{Normal,Anomaly}, Data/Masks/Anomaly",
            read_visa,
        ),
        Reader(
            "realiad",
            "Real-IAD with its published split, all views or one",
            "realiad_jsons[_sv]/<category>.json, realiad_{1024,512,256}/<category>/...",
            read_realiad,
            frozenset({"realiad_1024", "realiad_512", "realiad_256"}),
        ),
        Reader(
            "magnetic_tile",
            "Magnetic Tile Defects as downloaded; a share of MT_Free trains, tile by tile",
            "MT_{Free,Blowhole,Break,Crack,Fray,Uneven}/Imgs/<name>.{jpg,png}",
            read_magnetic_tile,
        ),
        Reader(
            "folder",
            "a plain folder; masks are optional",
            "[<category>/]{normal,abnormal}[/<type>], optional train and masks",
            read_folder,
        ),
    )
}
"""Layout name -> its reader; the names are those ``data.dataset`` accepts."""


def register_reader(reader: Reader) -> None:
    """Make ``data.dataset: <its name>`` mean ``reader``, in this process.

    Raises ConfigError if the name is taken.
    """
    if READERS.get(reader.name) is reader:
        return
    if reader.name in READERS:
        raise ConfigError(f"a dataset layout named '{reader.name}' is registered already")
    READERS[reader.name] = reader


__all__ = ["READERS", "Reader", "register_reader"]
