"""Miniatures of the published dataset layouts, written to a temporary folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, size: tuple[int, int] = (12, 10), mode: str = "RGB", seed: int = 0) -> Path:
    """A random image of (width, height); different for different paths and seeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, *path.as_posix().encode()[-40:]])
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return path


def mask(
    path: Path, size: tuple[int, int] = (12, 10), box: tuple[int, int, int, int] = (2, 2, 6, 5)
) -> Path:
    """A mask of (width, height), 255 inside the box (left, top, right, bottom)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((size[1], size[0]), np.uint8)
    left, top, right, bottom = box
    values[top:bottom, left:right] = 255
    Image.fromarray(values).save(path)
    return path


def mvtec(
    root: Path, category: str = "bottle", *, suffix: str = ".png", mask_suffix: str = "_mask.png"
) -> Path:
    base = root / category
    for i in range(4):
        picture(base / "train/good" / f"{i:03d}{suffix}")
    for i in range(3):
        picture(base / "test/good" / f"{i:03d}{suffix}")
    for defect, n in (("crack", 3), ("dent", 2)):
        for i in range(n):
            picture(base / "test" / defect / f"{i:03d}{suffix}")
            mask(base / "ground_truth" / defect / f"{i:03d}{mask_suffix}")
    return root


def mvtec_ad2(root: Path, category: str = "can") -> Path:
    base = root / category
    for i in range(3):
        picture(base / "train/good" / f"{i:03d}_regular.png")
        picture(base / "validation/good" / f"{i:03d}_regular.png")
    picture(base / "test_private/000_regular.png")
    for i in range(4):
        for light in ("regular", "overexposed", "shift_1"):
            picture(base / "test_public/good" / f"{i:03d}_{light}.png")
            picture(base / "test_public/bad" / f"{i:03d}_{light}.png")
            mask(base / "test_public/ground_truth/bad" / f"{i:03d}_{light}_mask.png")
    return root


def loco(root: Path, category: str = "juice_bottle") -> Path:
    base = root / category
    for i in range(3):
        picture(base / "train/good" / f"{i:03d}.png")
        picture(base / "validation/good" / f"{i:03d}.png")
        picture(base / "test/good" / f"{i:03d}.png")
    for defect in ("logical_anomalies", "structural_anomalies"):
        for i in range(2):
            picture(base / "test" / defect / f"{i:03d}.png")
            mask(base / "ground_truth" / defect / f"{i:03d}" / "000.png", box=(0, 0, 3, 3))
            mask(base / "ground_truth" / defect / f"{i:03d}" / "001.png", box=(8, 6, 12, 10))
    return root


def btad(root: Path) -> Path:
    for category, suffix, mask_suffix in (
        ("01", ".bmp", ".png"),
        ("02", ".png", ".png"),
        ("03", ".bmp", ".bmp"),
    ):
        base = root / category
        for i in range(3):
            picture(base / "train/ok" / f"{i:04d}{suffix}")
            picture(base / "test/ok" / f"{i:04d}{suffix}")
            picture(base / "test/ko" / f"{i:04d}{suffix}")
            mask(base / "ground_truth/ko" / f"{i:04d}{mask_suffix}")
    return root


def realiad(root: Path, category: str = "audiojack", *, nested: bool = True) -> Path:
    """Three normal parts (one trains), two defective ones with a view that shows nothing."""
    folder = root / "realiad_1024" / category

    def entry(relative: str, kind: str) -> dict[str, str | None]:
        picture(folder / relative)
        mask_path = None
        if kind != "OK":
            mask_path = str(Path(relative).with_suffix(".png"))
            mask(folder / mask_path)
        return {"category": category, "anomaly_class": kind, "image_path": relative, "mask_path": mask_path}

    def views(part: str, kinds: list[str]) -> list[dict[str, str | None]]:
        return [entry(f"{part}/{category}_C{i}.jpg", kind) for i, kind in enumerate(kinds, start=1)]

    every = {
        "train": views("OK/S0001", ["OK"] * 5),
        "test": views("OK/S0002", ["OK"] * 5)
        + views("OK/S0003", ["OK"] * 5)
        + views("NG/AK/S0004", ["AK", "AK", "OK", "AK", "OK"])
        + views("NG/AK/S0005", ["AK", "AK", "OK", "AK", "AK"]),
    }
    first = {part: [e for e in entries if "_C1" in str(e["image_path"])] for part, entries in every.items()}
    for name, lists in (("realiad_jsons", every), ("realiad_jsons_sv", first)):
        target = (root / "realiad_jsons" / name if nested else root / name) / f"{category}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        meta = {"normal_class": "OK", "prefix": f"{category}/"}
        target.write_text(json.dumps({"meta": meta, **lists}))
    return root


def visa(root: Path, category: str = "candle") -> Path:
    """As downloaded: a list says what trains, masks hold numbers of kinds of defects."""
    rows = ["object,split,label,image,mask"]
    for i in range(5):
        image = f"{category}/Data/Images/Normal/{i:04d}.JPG"
        picture(root / image)
        rows.append(f"{category},{'train' if i < 3 else 'test'},normal,{image},")
    for i in range(3):
        image, truth = (f"{category}/Data/{folder}/Anomaly/{i:03d}" for folder in ("Images", "Masks"))
        picture(root / f"{image}.JPG")
        mask(root / f"{truth}.png")
        values = np.asarray(Image.open(root / f"{truth}.png")) // 255 * (i + 1)
        Image.fromarray(values).save(root / f"{truth}.png")
        rows.append(f"{category},test,anomaly,{image}.JPG,{truth}.png")
    (root / "split_csv").mkdir(exist_ok=True)
    (root / "split_csv/1cls.csv").write_text("\n".join(rows) + "\n")
    return root


def magnetic_tile(root: Path) -> Path:
    """Ten clean tiles of two exposures, one cracked tile whose other exposure is listed as free."""
    for tile in range(10):
        for exposure in (1, 4):
            stem = f"exp{exposure}_num_{1000 * (tile + 1) + 10 * exposure}"
            picture(root / "MT_Free/Imgs" / f"{stem}.jpg", mode="L")
            mask(root / "MT_Free/Imgs" / f"{stem}.png", box=(0, 0, 0, 0))
    picture(root / "MT_Free/Imgs/exp1_num_50000.jpg", mode="L")
    mask(root / "MT_Free/Imgs/exp1_num_50000.png", box=(0, 0, 0, 0))
    picture(root / "MT_Crack/Imgs/exp2_num_50040.jpg", mode="L")
    mask(root / "MT_Crack/Imgs/exp2_num_50040.png")
    picture(root / "MT_Blowhole/Imgs/exp2_num_60000.jpg", mode="L")
    mask(root / "MT_Blowhole/Imgs/exp2_num_60000.png")
    return root


def folder(root: Path, *, train: bool = False, masks: bool = True) -> Path:
    for i in range(10):
        picture(root / "normal" / f"{i}.jpg")
    if train:
        for i in range(4):
            picture(root / "train" / f"{i}.jpg")
    for i in range(3):
        picture(root / "abnormal/hole" / f"{i}.jpg")
        if masks:
            mask(root / "masks/hole" / f"{i}.png")
    picture(root / "abnormal/odd.jpg")
    return root
