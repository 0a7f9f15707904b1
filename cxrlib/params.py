"""Parameters of a run: typed, frozen, validated in one place; the defaults are the thesis's.

A profile in params/ holds what differs from them. Importing this module does not import torch.
"""

import contextlib
import re
import reprlib
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import PROJECT_ROOT, shown_files


def _distinct(values: list) -> list:
    """The values, none of which stands there twice: tables are grouped by them."""
    twice = [value for position, value in enumerate(values) if value in values[:position]]
    if twice:
        raise ValueError(f"{twice[0]!r} stands there twice; name it once")
    return values


def _none_of_word(value: object) -> object:
    """None for the words that mean none in YAML and on the command line."""
    return None if isinstance(value, str) and value in ("null", "~", "") else value


Share = Annotated[float, Field(gt=0, lt=1)]


Shares = Annotated[list[Share], Field(min_length=1), AfterValidator(_distinct)]


def _whole_number(value: object) -> object:
    """The number that a text of digits means; pydantic compares allowed numbers with text as it stands."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


OptionalText = Annotated[str | None, BeforeValidator(_none_of_word)]


Positive = Annotated[int, Field(ge=1)]


KernelSide = Annotated[int, Field(ge=3)]


Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What NumPy and torch both take."""


def _two_digits(value: object) -> object:
    """A notebook's number as its file has it: 1 and "1" are "01"."""
    return str(value).zfill(2) if isinstance(value, int | str) and not isinstance(value, bool) else value


NotebookNumber = Annotated[str, BeforeValidator(_two_digits), Field(pattern=r"^\d\d$")]


NotebookNumbers = Annotated[list[NotebookNumber], Field(min_length=1), AfterValidator(_distinct)]


FileName = Annotated[str, Field(pattern=r"^\w[\w .+-]*$", max_length=100)]


class ParameterError(Refusal):
    """A parameter that is unknown, of the wrong type or out of range; the message names the field."""


class Section(BaseModel):
    """Base of all sections: no unknown keys, no silent conversions, no changes afterwards."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Data(Section):
    """Which radiographs, and how they are brought to one size and split."""

    source: Literal["demo", "vinbigdata", "vinbigdata-resized", "vindr-cxr", "nih", "folder"] = "vinbigdata"
    """demo: real annotations, rendered radiographs; the others are read from `root` (docs/data.md)."""
    root: OptionalText = "data/vinbigdata"
    """Folder or zip of the data set; None for demo. A relative path counts from the working folder."""
    n_studies: Positive = 15_000
    """demo: how many studies to draw from the real annotations."""
    no_finding_share: Annotated[float, Field(ge=0, lt=1)] = 0.707
    """demo: fraction of the drawn studies that are "No finding" (0.707 in the real annotations)."""
    image_size: Annotated[int, Field(ge=64)] = 512
    """Side of the stored square images in pixels; boxes are rescaled to this frame (thesis: 512)."""
    max_pixels: Positive = 100_000_000
    """An image file that declares more pixels is set aside before it is decoded; radiographs have about 10 million."""
    valid_share: Share = 0.1
    """Fraction of the studies for validation (thesis: 0.1)."""
    test_share: Share = 0.1
    """Fraction of the studies for the test (thesis: 0.1); a data set's own test split takes its place."""
    seed: Seed = 2023
    """Seeds the drawn studies, the rendering and the split."""

    @model_validator(mode="after")
    def _root_is_given(self) -> "Data":
        if self.source != "demo" and not self.root:
            raise ValueError(f"source {self.source} needs data.root, the folder of the data set")
        if self.source == "demo" and self.root is not None:
            raise ValueError(f"data.root is {self.root[:80]!r}, but source demo reads none; set data.source as well")
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share + test_share must stay below 1, training needs the rest")
        return self


THESIS_LABELS = {
    "3 labels": ["Aortic enlargement", "Cardiomegaly", "No finding"],
    "5 labels": ["Aortic enlargement", "Cardiomegaly", "Pleural thickening", "Pulmonary fibrosis", "No finding"],
    "7 labels": [
        "Aortic enlargement",
        "Cardiomegaly",
        "Lung Opacity",
        "Pleural effusion",
        "Pleural thickening",
        "Pulmonary fibrosis",
        "No finding",
    ],
    "all labels": [
        "Aortic enlargement",
        "Atelectasis",
        "Calcification",
        "Cardiomegaly",
        "Consolidation",
        "ILD",
        "Infiltration",
        "Lung Opacity",
        "Nodule/Mass",
        "Other lesion",
        "Pleural effusion",
        "Pleural thickening",
        "Pneumothorax",
        "Pulmonary fibrosis",
        "No finding",
    ],
}
"""The thesis's four experiments (section 4.3). Of its five labels it names four; the next frequent one joins them."""


Label = Annotated[str, Field(min_length=1)]


LabelSet = Annotated[list[Label], Field(min_length=2), AfterValidator(_distinct)]


class Labels(Section):
    """The experiments: which labels each model learns."""

    experiments: Annotated[dict[FileName, LabelSet], Field(min_length=1)] = THESIS_LABELS
    """Name of the experiment, which names its files too -> its labels (thesis: 3, 5, 7 and all 15)."""
    explained: str = "7 labels"
    """The experiment whose model is explained (thesis: 7 labels)."""

    @model_validator(mode="after")
    def _explained_exists(self) -> "Labels":
        if self.explained not in self.experiments:
            advice = did_you_mean(self.explained, self.experiments)
            known = ", ".join(self.experiments)
            raise ValueError(f"explained {self.explained!r} is none of {known}{'; ' if advice else ''}{advice}")
        return self

    @field_validator("experiments")
    @classmethod
    def _files_differ(cls, experiments: dict) -> dict:
        """Names that differ in case or in the form of their accents only are one file on many disks."""
        first = {}
        for name in experiments:
            other = first.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            if other != name:
                raise ValueError(f"{other!r} and {name!r} would be one file on some disks; rename one")
        return experiments


WEIGHTS = ("imagenet", "torchxrayvision")
"""Values of model.weights that are names of published weights, and no paths."""


class Model(Section):
    """The network."""

    architecture: Annotated[str, Field(pattern=r"^(timm/[a-z][\w.]*|[a-z]\w*(-xrv)?)$", max_length=100)] = "resnet50"
    """A classifier of torchvision (thesis: resnet50), "timm/" and the name of one of timm's, or resnet50-xrv or
    densenet121-xrv, torchxrayvision's, which read one grey channel."""
    weights: OptionalText = "imagenet"
    """None: from scratch; "imagenet": torchvision's or timm's; "torchxrayvision": resnet50-res512-all or
    densenet121-res224-all, which have outputs for most findings; else the path, counted from the working folder, of a
    safetensors or PyTorch file with the architecture's weights, their head excepted."""
    input_size: Annotated[int, Field(ge=32)] = 224
    """Side of the network's input in pixels (thesis: 224)."""
    output_stride: Annotated[Literal[16, 32], BeforeValidator(_whole_number)] = 32
    """32 leaves the network as it is (thesis: 7x7 cells at 224 px); 16 drops its last stride, so that the last feature
    map has twice as many rows and columns."""

    @model_validator(mode="after")
    def _weights_fit(self) -> "Model":
        one_channel = self.architecture.endswith("-xrv")
        if self.weights in WEIGHTS and one_channel != (self.weights == "torchxrayvision"):
            raise ValueError(
                f"weights {self.weights} do not fit {self.architecture}; torchxrayvision needs resnet50-xrv or "
                "densenet121-xrv"
            )
        return self


class Training(Section):
    """The training loop."""

    epochs: Annotated[int, Field(ge=0)] = 20
    """Passes over the training split (thesis: 20); 0 keeps weights that have an output for every label as they are."""
    warm_start_epochs: Annotated[int, Field(ge=0)] = 0
    """0: every experiment trains alike, as in the thesis. Otherwise the explained experiment trains first and the
    others continue from its backbone and its last learning rate for so many epochs."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Images per step (thesis: 32)."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """First learning rate of SGD (thesis: 0.01)."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Not given in the thesis; 0.9 here."""
    end_factor: Annotated[float, Field(gt=0, le=1)] = 0.3
    """LinearLR falls from 1.0 to this factor over all epochs (thesis: 0.3)."""
    flip_probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    """RandomHorizontalFlip (thesis: 0.5, although it moves heart and aorta to the other side)."""
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 45.0
    """RandomRotation between minus and plus this angle (thesis: 45)."""
    pos_weight: bool = True
    """Weigh positives by negatives / positives of the training split (thesis: true)."""
    seed: Seed = 2023
    """Seeds the initial weights, the order of the batches and the augmentation."""


class Gradcam(Section):
    """Grad-CAM and which of its maps are looked at."""

    layer: str = "auto"
    """Module whose output is explained, e.g. layer4 of a ResNet; "auto" is the last feature map, which that is."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    """A class is explained where its probability reaches this (thesis: 0.7)."""


class Smoothgrad(Section):
    """SmoothGrad over Grad-CAM."""

    samples: Positive = 50
    """Noisy copies (thesis: 50)."""
    noise_levels: Shares = [0.1, 0.2]
    """Standard deviation of the noise as a fraction of the image's range (thesis: 0.1 and 0.2)."""
    average: Literal["raw", "normalised"] = "raw"
    """Average the maps before or after dividing each by its maximum."""
    n_studies: Positive = 200
    """Test studies to compare with Grad-CAM."""


class Iou(Section):
    """Boxes from heatmaps against readers' boxes."""

    shares: Shares = [0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.2]
    """Fractions of the heatmap's pixels that make its mask."""
    union: Literal["areas", "sum"] = "areas"
    """areas: area of the union; sum: area1 + area2, the thesis's step 5, at most 0.5."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    """A class counts as correctly predicted where it is true and its probability reaches this."""
    seed: Seed = 2023
    """Seeds the random heatmaps of the control."""
    usual_studies: Positive = 500
    """At most so many training studies are explained for the usual heatmap of each class, a control."""
    grid_images: Positive = 15000
    """At most so many real images of each finding say what maps of a few cells allow."""


class Perturbation(Section):
    """Pixel importance."""

    shares: Shares = [0.02, 0.05, 0.1, 0.2, 0.5]
    """Fractions of the pixels that are replaced."""
    kernels: Annotated[list[KernelSide], Field(min_length=1), AfterValidator(_distinct)] = [11, 21]
    """Sides of the Gaussian kernels in input pixels (thesis: 11 and 21); odd."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    """A class counts as predicted where its probability reaches this."""
    n_studies: Positive = 1492
    """At most so many test studies."""
    controls_n_studies: Positive = 200
    """At most so many test studies whose Grad-CAM heatmaps are compared with controls; about 60 forward passes for each
    predicted class."""
    controls_methods: Annotated[list[str], AfterValidator(_distinct)] = [
        "smoothgrad",
        "integrated_gradients",
        "lrp",
        "rise",
    ]
    """Methods that are compared with controls beside Grad-CAM, on the studies of `methods.n_studies`; one that
    `methods.compared` does not name is left out."""

    @model_validator(mode="after")
    def _kernels_are_odd(self) -> "Perturbation":
        if even := [kernel for kernel in self.kernels if kernel % 2 == 0]:
            raise ValueError(f"kernels must be odd, found {even}")
        return self


def _plain_value(value: object) -> object:
    """The truth value, number or None that a text means; any other text, and whatever is no text, as it is."""
    if not isinstance(value, str):
        return value
    words = {"true": True, "false": False, "null": None, "~": None, "": None}
    if value.lower() in words:
        return words[value.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(value)
    return value


MethodValue = Annotated[bool | int | float | str | None, BeforeValidator(_plain_value)]


class Methods(Section):
    """The explanation methods, and the networks beside the run's own, that notebook 08 compares on the same cases."""

    compared: Annotated[dict[str, dict[str, MethodValue]], Field(min_length=1)] = {
        name: {}
        for name in (
            "gradcam",
            "gradcam_plus_plus",
            "layercam",
            "hirescam",
            "xgradcam",
            "scorecam",
            "gradient",
            "input_x_gradient",
            "smoothgrad",
            "smooth_gradcam",
            "integrated_gradients",
            "gradientshap",
            "deconvnet",
            "guided_backprop",
            "guided_gradcam",
            "lrp",
            "occlusion",
            "rise",
            "lime",
            "kernelshap",
        )
    }
    """Name of each method (docs/library.md) -> its parameters where they differ from the method's own defaults."""
    n_studies: Positive = 50
    """At most so many test studies with a reader's box, and as many of the validation split, on which each method's
    share of pixels is chosen."""
    networks: dict[FileName, Model] = {}
    """Further networks, by a name of their own -> their section `model`. Each learns the explained experiment as the
    run's network does, and Grad-CAM explains it."""

    @field_validator("networks")
    @classmethod
    def _published_weights(cls, networks: dict) -> dict:
        """A path would have to be followed from the working folder; a name is the same everywhere."""
        for name, model in networks.items():
            if model.weights is not None and model.weights not in WEIGHTS:
                raise ValueError(
                    f"{name}: weights {model.weights[:80]!r} are neither None nor one of {', '.join(WEIGHTS)}"
                )
        return networks


class Phantom(Section):
    """Rendered radiographs whose findings' causes are known (notebook 09), and planted cues (notebook 12)."""

    n_studies: Positive = 100
    """At most so many test studies with a reader's box get twins, and as many with a planted cue are explained."""
    rungs: Annotated[int, Field(ge=2)] = 4
    """Steps from the smallest cause to the largest, and from the faintest to the strongest."""
    shortcuts: Annotated[list[Literal["marker", "corner", "noise"]], AfterValidator(_distinct)] = []
    """Cues that networks of their own learn: the side letter's shape, a metal clip in a corner, a change of grain; an
    empty list trains none."""
    shortcut_label: Label = "Pulmonary fibrosis"
    """The finding that the cues are tied to."""
    strengths: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1), AfterValidator(_distinct)] = [
        0.0,
        0.5,
        1.0,
    ]
    """How strongly: the share of the training studies with the label that carry the cue, minus that of the others."""


class Sanity(Section):
    """Sanity checks of the methods, and networks that are trained for them (notebook 10)."""

    compared: Annotated[list[str], AfterValidator(_distinct)] = [
        "gradcam",
        "gradcam_plus_plus",
        "gradient",
        "input_x_gradient",
        "smoothgrad",
        "guided_backprop",
        "lrp",
    ]
    """Methods that are checked, of those in methods.compared; all of these where none of them is named."""
    n_studies: Positive = 50
    """At most so many of the test studies that notebook 08 explains."""
    layers: Positive = 8
    """At so many layers, evenly spread, the weights are randomised, in cascade from the output and one layer alone."""
    randomise: Literal["permute", "redraw"] = "permute"
    """permute: a tensor's own values in random order; redraw: normal draws with its mean and standard deviation."""
    draws: Positive = 5
    """How often all weights are randomised anew; a case's likeness is the mean over these networks."""
    seed: Seed = 2023
    """Seeds the randomised weights, the permuted labels, the noise and the removed squares."""
    permuted_epochs: Annotated[int, Field(ge=0)] = 20
    """Passes over the training split with permuted labels; 0 trains no such network."""
    seeds: Annotated[list[Seed], AfterValidator(_distinct)] = [1, 2]
    """Each but training.seed trains a network like the run's that begins with other weights."""
    epochs: Annotated[int, Field(ge=0)] = 20
    """Passes over the training split of each of these; 0 trains none."""
    noise: Share = 0.02
    """Greatest noise of a pixel as a fraction of the image's range, for the max-sensitivity."""
    samples: Positive = 10
    """Noisy copies of an image."""
    squares: Positive = 100
    """Squares that are removed from an image, for the infidelity."""


MapsOf = Literal["all classes", "labels"]
"""The classes whose maps are one: the same for every study, or the study's own labels."""


class Roar(Section):
    """Networks that learn again: without the pixels that a map calls important, and with a penalty (notebook 11)."""

    methods: dict[str, dict[str, MethodValue]] = {
        "gradcam": {},
        "gradient": {},
        "smoothgrad": {},
        "integrated_gradients": {},
        "lrp": {},
    }
    """Methods whose maps choose the pixels (docs/library.md) -> their parameters; three controls join them."""
    maps_of: MapsOf = "all classes"
    """A picture's one map is the mean of these classes' maps. Where its labels choose, the mask's place tells them."""
    modes: Annotated[list[Literal["remove", "keep", "mask"]], Field(min_length=1), AfterValidator(_distinct)] = [
        "remove",
        "keep",
        "mask",
    ]
    """remove the top pixels (ROAR), keep nothing else (KAR), or show the mask alone, which may tell the label."""
    shares: Shares = [0.1, 0.3, 0.5, 0.7, 0.9]
    """Fractions of the pixels (Hooker et al.: 0.1 to 0.9)."""
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_distinct)] = [1, 2, 3, 4, 5]
    """A network is trained for each (Hooker et al.: five)."""
    n_studies: Annotated[int, Field(ge=2)] = 3000
    """At most so many studies of each split: what the networks learn from and are tested on."""
    epochs: Annotated[Positive | None, BeforeValidator(_none_of_word)] = None
    """Passes over the training studies; None takes those of `training`."""
    penalties: Annotated[list[Annotated[float, Field(gt=0)]], AfterValidator(_distinct)] = [0.3, 1.0, 3.0]
    """Weights of the share of a map that lies outside of readers' boxes, in the loss; 0 is always there."""
    n_twins: Positive = 100
    """Rendered data: on the cause of the findings of at most so many test studies the penalised maps are scored."""


class Bootstrap(Section):
    """Intervals: patients are drawn again with replacement, with all their studies."""

    resamples: Annotated[int, Field(ge=100)] = 1000
    """How often; the thesis has no intervals."""
    seed: Seed = 2023
    """Seeds the draws; the same in every notebook, so that their scores can be compared in pairs."""


class Transfer(Section):
    """Across data sets."""

    run: OptionalText = None
    """Folder of another run, whose model is tested on this run's data; None leaves notebook 14 out. A relative path
    counts from the working folder."""


def _with_png(formats: list[str]) -> list[str]:
    if "png" not in formats:
        raise ValueError("the report shows the PNG files: name png too")
    return formats


class Report(Section):
    """The files of figures."""

    formats: Annotated[list[Literal["png", "pdf"]], AfterValidator(_distinct), AfterValidator(_with_png)] = [
        "png",
        "pdf",
    ]
    """png, 200 dpi, is always written; pdf is for print, and drawing takes half as long again."""


class Workflow(Section):
    """Which notebooks a run executes."""

    notebooks: Annotated[NotebookNumbers | None, BeforeValidator(_none_of_word)] = None
    """Numbers of notebooks, e.g. ["01", "02"]; None: all but 11_roar, which trains many networks. --only takes any."""


class Compute(Section):
    """The machine; nothing here but `precision` changes what is computed."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes the fastest one present."""
    batch_size: Positive = 64
    """Images per forward pass when nothing is trained."""
    workers: Positive = 4
    """Processes that render and convert images."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads of torch; 0 leaves its own choice."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Number format of convolutions (thesis: float32); tf32 needs an Ampere GPU, bfloat16 a device that has it."""


class Params(Section):
    """All parameters of a run, one field per section."""

    data: Data = Data()
    labels: Labels = Labels()
    model: Model = Model()
    training: Training = Training()
    gradcam: Gradcam = Gradcam()
    smoothgrad: Smoothgrad = Smoothgrad()
    iou: Iou = Iou()
    perturbation: Perturbation = Perturbation()
    methods: Methods = Methods()
    phantom: Phantom = Phantom()
    sanity: Sanity = Sanity()
    roar: Roar = Roar()
    bootstrap: Bootstrap = Bootstrap()
    transfer: Transfer = Transfer()
    report: Report = Report()
    workflow: Workflow = Workflow()
    compute: Compute = Compute()


SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxlist, SHORT.maxdict, SHORT.maxstring, SHORT.maxother = 2, 4, 4, 80, 80
"""What a message shows of a wrong value: aliases let a short YAML text stand for a value of any length."""
PROFILES = PROJECT_ROOT / "params"
MOST_ERRORS = 5
"""A message names no more wrong fields than this."""


def profile_names() -> list[str]:
    """Names of the profiles in params/."""
    return [path.stem for path in shown_files(PROFILES, "*.yaml")]


def load_params(profile: str, overrides: list[str] = ()) -> Params:
    """Read a profile and apply overrides of the form "section.name=value".

    A value is read for its parameter: a parameter that is text takes the text as it stands, or what stands between
    quotes. Numbers are decimal. Lists and mappings are YAML.

    Raises:
        ParameterError: unknown profile, malformed override, a value that the section refuses, or values that
            contradict each other.
    """
    path, names = PROFILES / f"{profile}.yaml", profile_names()
    if profile not in names:
        advice = " ".join([did_you_mean(profile, names), f"choose {', '.join(names)}"]).strip()
        raise ParameterError(f"unknown profile {profile!r}; {advice}")
    try:
        values = _read_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:  # text that is not UTF-8 is one too
        raise ParameterError(f"{path}: {error}") from None
    values = values or {}
    if not (isinstance(values, dict) and all(isinstance(section, dict) for section in values.values())):
        raise ParameterError(f"{path}: expected sections with parameters, as in {PROFILES / 'smoke.yaml'}")
    for override in overrides:
        _apply(override, values)
    params = check_params(values, profile, of_text=True)
    require_consistent(params)
    return params


def check_params(values: dict, name: str, of_text: bool = False) -> Params:
    """Validate nested values.

    Args:
        values: section -> parameter -> value.
        name: what messages call them.
        of_text: whether the values are text that means numbers, as a profile or a command line holds it. Otherwise
            a number must be a number.

    Raises:
        ParameterError: with one line per wrong field.
    """
    try:
        return Params.model_validate(values, strict=not of_text)
    except ValidationError as error:
        errors = sorted(error.errors(), key=lambda item: len(item["loc"]))  # a missing section before a field
        lines = [_explain(item) for item in errors[:MOST_ERRORS]]
        raise ParameterError(f"{name}: " + "; ".join(lines)) from None


def require_consistent(params: Params) -> None:
    """Refuse parameters of different sections that contradict each other.

    Raises:
        ParameterError: a kernel is wider than the input, shares give no pixel or the same pixels, or a cue is tied to a
            label that nothing learns.
    """
    size = params.model.input_size
    for kernel in params.perturbation.kernels:
        if kernel > size:
            raise ParameterError(
                f"perturbation.kernels: {kernel} is wider than the input, model.input_size={size}; take a smaller one"
            )
    for section in ("iou", "perturbation", "roar"):
        shares = {}
        for share in getattr(params, section).shares:
            count = round(share * size**2)
            place = f"{section}.shares: {share} of {size} x {size} pixels (model.input_size)"
            if count == 0:
                raise ParameterError(f"{place} is no pixel; raise it")
            if count in shares:
                raise ParameterError(f"{place} is {count} pixels, as is {shares[count]}; take one of them out")
            shares[count] = share
    known = params.labels.experiments[params.labels.explained]
    if params.phantom.shortcuts and params.phantom.shortcut_label not in known:
        raise ParameterError(
            f"phantom.shortcut_label: {params.phantom.shortcut_label!r} is no label of the explained experiment; "
            f"choose one of {', '.join(known)}"
        )


PATHS = [("data", "root"), ("model", "weights"), ("transfer", "run")]
"""Parameters that name a file or folder."""


def with_absolute_paths(params: Params, folder: Path) -> Params:
    """The parameters with `folder` before every relative path, and the user's home in place of ~.

    Raises:
        ParameterError: the home folder behind ~ is unknown.
    """
    changed = {}
    for section, name in PATHS:
        values = getattr(params, section)
        value = getattr(values, name)
        if value is not None and value not in WEIGHTS:
            try:
                path = folder / Path(value).expanduser()
            except RuntimeError as error:
                raise ParameterError(f"{section}.{name}: {value}: {error} Write the whole path") from None
            changed[section] = values.model_copy(update={name: str(path)})
    return params.model_copy(update=changed)


def _apply(override: str, values: dict) -> None:
    key, equals, text = override.partition("=")
    section, dot, field = key.strip().partition(".")
    if not (equals and dot and section and field):
        raise ParameterError(f"--set {override}: expected section.name=value")
    if section not in Params.model_fields:
        raise ParameterError(f"--set {override}: {_unknown(section)}")
    fields = Params.model_fields[section].annotation.model_fields
    if field not in fields:
        raise ParameterError(f"--set {override}: {_unknown(section, field)}")
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    try:
        value = text if _is_text(fields[field].annotation) and not quoted else _read_yaml(text)
    except ValueError as error:
        advice = "; put text that holds # between quotes" if " #" in text else ""
        raise ParameterError(f"--set {override[:80]}: {error}{advice}") from None
    values.setdefault(section, {})[field] = value


def _is_text(annotation: object) -> bool:
    """Whether a parameter is text: any, one of some words, or none.

    >>> _is_text(str | None), _is_text(Literal["auto", "cpu"]), _is_text(list[str])
    (True, True, False)
    """
    if get_origin(annotation) is UnionType:
        return any(_is_text(choice) for choice in get_args(annotation))
    if get_origin(annotation) is Literal:
        return all(isinstance(word, str) for word in get_args(annotation))
    return annotation is str


def _unknown(*names: str) -> str:
    """That a section, or a section's parameter, does not exist, and the one that may be meant.

    >>> _unknown("training", "epoch")
    'training.epoch: unknown parameter; did you mean epochs?'
    """
    *section, name = names
    known = Params.model_fields
    if section:  # only methods.networks holds sections inside of a section
        known = (Model if len(section) > 1 else known[section[0]].annotation).model_fields
    advice = did_you_mean(name, known) or f"choose {', '.join(known)}"
    return f"{'.'.join(names)}: unknown {'parameter' if section else 'section'}; {advice}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest of some known names, as a question; empty where none is near.

    >>> did_you_mean("dmo", ["demo", "nih"]), did_you_mean("x", ["demo", "nih"])
    ('did you mean demo?', '')
    """
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def _explain(item: dict) -> str:
    if item["type"] == "extra_forbidden":
        return _unknown(*item["loc"])
    field = ".".join(str(part) for part in item["loc"]) or "parameters"
    words = re.findall(r"'([^']*)'", item["ctx"]["expected"]) if item["type"] == "literal_error" else []
    advice = did_you_mean(item["input"], words) if isinstance(item["input"], str) else ""
    given = "" if isinstance(item["input"], dict) else f" (given: {SHORT.repr(item['input'])})"
    return f"{field}: {item['msg'].removeprefix('Value error, ')}{'; ' if advice else ''}{advice}{given}"


WITHOUT_EFFECT = {"compute": {"workers"}}
"""Parameters that change no byte of any result; tests/test_reruns.py holds them to it."""


def effective(parameters: dict[str, object]) -> dict[str, object]:
    """Sections of parameters without the values that change no result."""
    return {
        name: {key: value for key, value in section.items() if key not in WITHOUT_EFFECT.get(name, ())}
        if isinstance(section, dict)
        else section
        for name, section in parameters.items()
    }


class _TextLoader(yaml.BaseLoader):
    """Reads every value as text, so that no text is taken for a number, a date or a truth value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """A mapping, none of whose keys stands there twice."""
        keys = [key.value for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _read_yaml(text: str) -> object:
    """Text, list or mapping that a YAML text holds.

    Raises:
        ValueError: in one line, why it holds none.
    """
    try:
        return _TextLoader(text).get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(f"the value is not valid YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise ValueError("brackets are nested too deeply") from None
