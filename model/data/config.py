"""Which images a study uses, and how they are split."""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic.json_schema import SkipJsonSchema

from model.config import SECTION, Positive
from model.knobs import OneOf


def _layouts() -> tuple[str, ...]:
    from model.data.readers import READERS  # they import this module

    return tuple(READERS)


DatasetName = Annotated[str, OneOf(_layouts)]
"""A layout that some reader knows."""

Images = Annotated[int, Field(gt=0, le=100_000)]
"""How many to draw."""


GENERATOR_VERSION = 1
"""Of the code that draws ``stripes``. Part of the dataset's fingerprint and folder name, and of what
pseudo-defects are known by: raise it whenever a pixel changes."""


@dataclass(frozen=True, config=SECTION)
class StripesConfig:
    """The built-in dataset: domains A (blobs, scratches), B (vertical, oblique), C (horizontal)."""

    seed: int = 0
    """Everything is drawn from it."""
    size: Annotated[int, Field(gt=0, le=8192)] = 256
    """Image side, pixels."""
    train: Images = 60
    """Normal training images per domain."""
    test_good: Images = 30
    """Normal test images per domain."""
    test_bad: Images = 30
    """Anomalous test images per domain."""
    contrast: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.08, 0.16)
    """Lowest and highest amplitude of domain C's streaks, in grey levels of a [0, 1] image."""
    gap_ratio: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.2,
        0.45,
    )
    """Share of a streak's length that is missing."""
    length: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (
        0.4,
        0.9,
    )
    """Streak length, as a share of the image's width."""
    thickness: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.5, 4.0)
    """Streak thickness, pixels at 256 px images."""
    surface: Literal["brushed", "woven"] = "brushed"
    """Domain C's normal texture: brushed metal or woven cloth; both have horizontal structure."""

    @model_validator(mode="after")
    def _check(self) -> StripesConfig:
        for name in ("contrast", "gap_ratio", "length", "thickness"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be [lowest, highest], got {[low, high]}")
        return self


@dataclass(frozen=True, config=SECTION)
class PseudoConfig:
    """Faint, broken streaks drawn on training images: the decoder sees them, and must rebuild the image
    without. Inference is left alone, and so are methods that are not trained."""

    kind: Literal["none", "horizontal", "vertical", "blob"] = "none"
    """``stripes``' streaks of domain C along the rows (the proposal); the same turned by a quarter; or
    blobs of the same contrast and area. The last two are controls."""
    copies: Annotated[int, Field(ge=1, le=64)] = 4
    """Copies of each training image, each with other streaks; their features are cached."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the training batches' images that are shown as one of their copies."""
    strength: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Contrast over that of the streaks (0.08 to 0.16 grey levels of a [0, 1] image)."""

    @property
    def drawn(self) -> dict[str, Any]:
        """All that a copy depends on but its image: the settings, and what ``stripes`` draws by them."""
        return {**asdict(self), "generator": GENERATOR_VERSION, "stripes": asdict(StripesConfig())}


@dataclass(frozen=True, config=SECTION)
class DataConfig:
    """A dataset, its categories and its splits."""

    dataset: DatasetName = "stripes"
    """Layout to read, or ``stripes`` (built in, drawn on demand)."""
    root: str | None = None
    """Folder of the dataset; not needed for ``stripes``."""
    categories: tuple[str, ...] | None = None
    """Categories (products, domains) to use; all that are found if not given."""
    setting: Literal["unified", "per_category"] = "unified"
    """One model for all categories, or one per category."""
    selection: Literal["none", "half"] = "none"
    """``half``: test images are halved by category, label and defect type into a selection split
    (search and model selection read it) and a report split (tables read it). ``none``: all test
    images report; a search on them selects on what it reports, and its tables say so."""
    split_seed: int = 0
    """Seed of the halves, and of layouts without an official train/test split."""
    train_share: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """Share of normal images used for training where the layout has no official split."""
    views: Literal["all", "single"] = "all"
    """Real-IAD only: its multi-view or its single-view lists."""
    max_train: Positive | None = None
    """Use at most this many training images per category (drawn by ``split_seed``)."""
    max_test: Positive | None = None
    """Use at most this many test images per category, label and defect type."""
    contamination: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the training images of each category that are defects, moved there from the test images
    (drawn by ``split_seed``, after ``max_train`` and ``max_test``) and taken for normal."""
    reserve: SkipJsonSchema[tuple[tuple[float, Positive | None], ...]] = ()
    """``contamination`` and ``max_train`` of a study's rows where they differ: the defects that the most
    demanding one trains on leave every row's test images."""
    pseudo: PseudoConfig = field(default_factory=PseudoConfig)
    """Pseudo-defects drawn on training images."""
    stripes: StripesConfig = field(default_factory=StripesConfig)
    """Parameters of the built-in dataset."""

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.dataset != "stripes" and not self.root:
            raise ValueError(f"dataset {self.dataset} needs root: the dataset's folder")
        return self
