"""A notebook's run: what earlier notebooks left in its folder, and where this one saves its tables and figures."""

import os
import textwrap
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure
from torch import nn

from cxrlib.data.cohort import Cohort, load_cohort
from cxrlib.data.provenance import Provenance
from cxrlib.evaluate.bootstrap import study_weights
from cxrlib.evaluate.method_scores import BySplit
from cxrlib.evaluate.phantom import TwinCases
from cxrlib.evaluate.shortcut import ShortcutModel
from cxrlib.explain.explanations import Explanations, load_explanations, save_explanations
from cxrlib.model.batches import StoredInputs
from cxrlib.model.checkpoint import Checkpoint, checkpoint_path, load_checkpoint
from cxrlib.model.inference import inference_copy
from cxrlib.model.networks import normalise
from cxrlib.params import check_params, effective, load_params, require_consistent, with_absolute_paths
from cxrlib.runtime.device import inference_dtype, use_device
from cxrlib.runtime.errors import Missing
from cxrlib.runtime.exact_tables import Tables
from cxrlib.runtime.files import PROJECT_ROOT, fingerprint, from_root, read_json, write_json
from cxrlib.runtime.fingerprints import code_fingerprints, imported_names
from cxrlib.runtime.progress import in_notebook, plain_warnings
from cxrlib.runtime.stored_tables import read_stored
from cxrlib.show.artefacts import write_figure, write_table
from cxrlib.show.figures.style import set_style
from cxrlib.stages.abroad import Tested, explain_home_and_abroad
from cxrlib.stages.compared import (
    explain_by_methods,
    explained_training,
    explained_validation,
    first_boxed,
    seconds_by_method,
    studies_to_compare,
)
from cxrlib.stages.controlled import explain_with_controls
from cxrlib.stages.explain import explain_split
from cxrlib.stages.further_networks import explain_by_networks
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.predict import predict_all
from cxrlib.stages.prepare import open_data, prepare_cohort
from cxrlib.stages.probe import probe_studies
from cxrlib.stages.replaced_pixels import curves_beside_controls, perturbed_studies
from cxrlib.stages.roar import WorkList, work_list
from cxrlib.stages.sanity_checks import SanityChecks, sanity_checks
from cxrlib.stages.sanity_models import explain_by_seeds, methods_by_seeds, permuted_model
from cxrlib.stages.scores import kept_scores
from cxrlib.stages.shortcut_models import shortcut_models
from cxrlib.stages.train import experiment_order, train_experiment
from cxrlib.stages.twin_cases import first_twins, twin_cases
from cxrlib.workflow.filelog import FORMATS, RUN_ID
from cxrlib.workflow.interactive import INTERACTIVE, interactive_folder, made_by_hand
from cxrlib.workflow.notebooks import NOTEBOOKS, code_of, shown_parameters

DISPLAY_WIDTH = 800
"""Pixels of a figure's width in the notebook."""
LINE_WIDTH = 100
"""Letters in a line of text; JupyterLab on a small screen breaks longer ones within a word."""
BY_HAND = "smoke"
"""The profile of a notebook that is run by hand in a folder where no run has left its parameters."""
PARTS = ("data", "models", "maps")
"""Folders of a run that notebooks read."""
KEPT = ("perturbation", "sanity", "scores")
"""Folders of results that a notebook makes once and finds again, also when it is run by hand."""


class Run:
    """One notebook's view of its run.

    A notebook that run_all.py executes reads and writes the run's folder. A notebook that is run by hand reads what the
    run has made, and saves in the folder `interactive` below it: the record of a finished run stays as it is.

    Args:
        notebook: name of the notebook, e.g. "06_iou".
        folder: the run's folder. A relative path, here and in `sections`, counts from the project's folder, since
            JupyterLab and papermill start kernels in different ones.
        sections: what the notebook's parameters cell says, by section; a parameter that it leaves out is the run's own.

    Attributes:
        folder: where this notebook reads and writes.
        params: the notebook's sections, validated; only those that its parameters cell declares, since whether its
            results still stand is decided by these.
        formats: of the figures, "png" or both "png" and "pdf".
        id: fingerprint of what run_all.py executed, also in the manifest; "interactive" in a notebook run by hand.

    Raises:
        ParameterError: a parameter is unknown, of the wrong type or out of range.
    """

    def __init__(self, notebook: str, folder: str, **sections: dict) -> None:
        run_folder = PROJECT_ROOT / folder
        by_hand = RUN_ID not in os.environ
        values = self._parameters_of(run_folder) if by_hand else {}  # run_all.py gives each section whole
        own = _own_values(notebook, values) if by_hand else ""
        for name, section in sections.items():
            values[name] = values.get(name, {}) | section
        checked = with_absolute_paths(check_params(values, notebook), PROJECT_ROOT)
        if by_hand:
            require_consistent(checked)
        self.notebook = notebook
        self.id = os.environ.get(RUN_ID, "interactive")
        self.params = SimpleNamespace(**{name: getattr(checked, name) for name in sections})
        self.formats = checked.report.formats if by_hand else os.environ.get(FORMATS, "png").split()
        self.folder = interactive_folder(run_folder, *PARTS, *KEPT) if by_hand else run_folder
        if by_hand:
            display(Markdown(f"{_said_by_hand(run_folder)}{_said_of_time(run_folder, notebook)}{own}"))
        set_style()
        plain_warnings()
        if in_notebook():
            pd.set_option("display.max_colwidth", None, "display.precision", 3)  # whole sentences, short numbers

    def prepare_data(self) -> pd.DataFrame:
        """Read, convert, split and store the data that the parameters name; what is there already is kept.

        Returns:
            What was skipped or changed: image_id, row, reason.
        """
        data, workers = self.params.data, self.params.compute.workers
        if RUN_ID not in os.environ:
            interactive_folder(self.folder.parent, "source")
        source = open_data(data, self.path("source"), workers)
        return prepare_cohort(source, self.path("data"), data, self.params.labels, workers)

    def train(self) -> dict[str, pd.DataFrame]:
        """Train the model of every experiment, unless it is stored; its losses by epoch, by experiment."""
        order = experiment_order(self.cohort)
        settings = (self.params.model, self.params.training, self.params.compute, self.path("models"))
        return {experiment: train_experiment(self.cohort, experiment, *settings) for experiment in order}

    def explain(self) -> Explanations:
        """Probabilities and Grad-CAM maps of the explained model on the test split, unless they are stored."""
        cohort = self.cohort  # before a path is made: without data no folder is left
        settings = (self.path("models"), self.params.gradcam, self.params.compute, self.path("maps", "test.npz"))
        return explain_split(cohort, "test", *settings)

    def explain_by_methods(self) -> dict[str, BySplit]:
        """Maps of every compared method for the first boxed studies, by the method's title and by split."""
        settings = (self.params.methods, self.params.gradcam, self.params.compute, self.folder)
        return explain_by_methods(self.cohort, self.explanations, *settings)

    def explain_to_localise(self) -> dict[str, BySplit]:
        """Grad-CAM of the whole test split, then the other methods of `explain_by_methods` with their fewer studies."""
        settings = (self.explanations, self.params.gradcam, self.params.compute, self.folder)
        chosen = studies_to_compare(self.cohort, self.params.methods.n_studies)["valid"]
        gradcam = {"valid": explained_validation(self.cohort, chosen, *settings), "test": self.explanations}
        others = self.explain_by_methods()
        return {"Grad-CAM": gradcam} | {title: maps for title, maps in others.items() if title != "Grad-CAM"}

    def explain_training(self) -> Explanations:
        """Grad-CAM of the first training studies with a finding, from which the usual heatmap is learned."""
        settings = (self.params.gradcam, self.params.compute, self.folder)
        return explained_training(self.cohort, self.params.iou.usual_studies, self.explanations, *settings)

    def perturb_test(self) -> pd.DataFrame:
        """`perturb_studies` of the first test studies, unless the table is stored."""
        settings = (self.params.perturbation, self.params.compute, self.folder)
        return perturbed_studies(self.cohort, self.explanations, *settings)

    def curves_beside_controls(self) -> pd.DataFrame:
        """`perturbation_curves` of Grad-CAM and of the compared methods beside controls, unless they are stored."""
        params, twins = self.params, self.twin_cases() if self.cohort.rendered else None
        sections = (params.perturbation, params.iou, params.methods, params.gradcam, params.compute)
        controlled = explain_with_controls(self.cohort, self.explanations, *sections, self.folder)
        settings = (twins, params.perturbation, params.bootstrap, params.compute, self.folder)
        return curves_beside_controls(self.cohort, controlled, *settings)

    def once(self, name: str, function: Callable[..., Tables], *arguments: object, **further: object) -> Tables:
        """The tables of `function(*arguments, **further)`: made once, kept as scores/NAME.npz, and found there again.

        They are made again where an argument, except for the number of `workers`, or the code behind the function
        changes. A constant of the project's modules that a cell sets is not seen.
        """
        path = self.path("scores", f"{name}.npz")
        return kept_scores(path, self.params.compute.precision, function, *arguments, **further)

    def explain_by_networks(self) -> dict[str, BySplit]:
        """Probabilities and Grad-CAM maps of this network and of further ones, which are trained unless stored."""
        sections = (self.params.methods, self.params.training, self.params.gradcam, self.params.compute)
        return explain_by_networks(self.cohort, self.explanations, *sections, self.folder)

    def explain_by_seeds(self) -> dict[str, BySplit]:
        """Grad-CAM of networks like this one that began with other weights, which are trained unless stored."""
        params = self.params
        settings = (params.methods, params.model, params.training, params.sanity, params.gradcam, params.compute)
        return explain_by_seeds(self.cohort, *settings, self.folder)

    def methods_by_seeds(
        self, seeds: dict[str, BySplit], checked: dict[str, Explanations]
    ) -> dict[str, tuple[Explanations, list[Explanations]]]:
        """Maps of this network and those of other seeds, by title; Grad-CAM's are of the whole test split."""
        settings = (self.params.methods, self.params.sanity, self.params.compute, self.folder)
        others = methods_by_seeds(self.cohort, seeds, checked, *settings)
        gradcam = (self.explanations, [one["test"] for one in seeds.values()])
        return {title: (maps, others[title]) for title, maps in checked.items()} | {"Grad-CAM": gradcam}

    def sanity_checks(self, explained: dict[str, BySplit]) -> SanityChecks:
        """Every sanity check of the checked methods; the network of permuted labels is trained unless it is stored."""
        params, cohort = self.params, self.cohort
        settings = (params.model, params.training, params.sanity, params.compute, self.folder)
        permuted = permuted_model(cohort, *settings)
        checked = (params.methods, params.sanity, params.compute, permuted, self.folder)
        return sanity_checks(cohort, explained, *checked)

    def seconds_by_method(self, image_ids: list[str]) -> dict[str, float]:
        """Seconds that an image takes by each compared method here, measured on some studies."""
        images = normalise(self.inputs(image_ids)[:].to(self.device))
        return seconds_by_method(self.params.methods, self.network, images, self.explanations.layer)

    def twin_cases(self) -> TwinCases:
        """The boxed findings of the first rendered test studies and their twins, in the network's frame."""
        params = self.params
        settings = (params.phantom, params.data, self.explanations.input_size, params.compute, self.folder)
        return first_twins(self.cohort, *settings)

    def shortcut_models(self) -> list[ShortcutModel]:
        """A network for each kind and strength of the planted cues, trained and explained unless they are stored."""
        params = self.params
        settings = (params.phantom, params.model, params.training, params.methods, params.gradcam, params.compute)
        return shortcut_models(self.cohort, *settings, params.data.seed, self.path("phantom", "shortcuts"))

    def retraining(self) -> WorkList:
        """The list of the trainings of notebook 11; the maps that they need are made unless they are stored."""
        params = self.params
        settings = (params.roar, params.model, params.training, params.gradcam, params.compute)
        return work_list(self.cohort, *settings, self.folder)

    def retraining_twins(self) -> TwinCases | None:
        """Of rendered data, the boxed findings of the first `roar.n_twins` test studies and their twins."""
        if not self.cohort.rendered:
            return None
        params = self.params
        studies = self.cohort.of("test")[: params.roar.n_studies]
        chosen = first_boxed(self.cohort, studies, params.roar.n_twins)
        settings = (params.data, params.model.input_size, params.compute.workers, self.path("roar", "twins"))
        return twin_cases(self.cohort, chosen, *settings)

    def probe(self) -> Explanations:
        """Maps of a linear probe of the explained layer on the test split, taught by boxes, unless they are stored."""
        studies = (self.cohort, self.explanations)  # before a path is made: without data no folder is left
        return probe_studies(*studies, self.path("models"), self.params.compute, self.path("maps", "probe.npz"))

    def explain_home_and_abroad(self) -> tuple[Tested, Tested]:
        """The test studies of the run that `transfer.run` names and those of this one, explained by its model."""
        self._require_data()
        home = self.params.transfer.run
        settings = (self.params.gradcam, self.params.compute)
        return explain_home_and_abroad(self.folder if home is None else Path(home), self.folder, *settings)

    def predict(self) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
        """Labels and probabilities of every experiment's test studies, image_id by class."""
        return predict_all(self.cohort, "test", self.path("models"), self.explanations, self.params.compute)

    @cached_property
    def cohort(self) -> Cohort:
        """What notebook 01 prepared."""
        self._require_data()
        return load_cohort(self.folder / "data")

    @cached_property
    def device(self) -> torch.device:
        """Where to compute; sets this process's threads and number format."""
        compute = self.params.compute
        return use_device(compute.device, compute.threads, compute.precision)

    @property
    def network(self) -> nn.Module:
        """The explained model that notebook 02 trained, in evaluation mode on the device."""
        return self._stored_model[0]

    @property
    def checkpoint(self) -> Checkpoint:
        """What the explained model is: its classes, its input, its best epoch."""
        return self._stored_model[1]

    @cached_property
    def fast_network(self) -> nn.Module:
        """The explained model as an `inference_copy` in the run's number format."""
        return inference_copy(self.network, self.explanations.layer, inference_dtype(self.params.compute.precision))

    @cached_property
    def explanations(self) -> Explanations:
        """Probabilities and Grad-CAM maps of the test split, as notebook 03 stored them."""
        self._require_data()
        return load_explanations(self.folder / "maps" / "test.npz")

    def inputs(self, image_ids: list[str]) -> StoredInputs:
        """Images of some studies in the explained network's frame, uint8 (n, 1, size, size), read when indexed."""
        return network_inputs(self.cohort, image_ids, self.checkpoint.input_size)

    @cached_property
    def resamples(self) -> pd.DataFrame:
        """How often each explained test study is drawn in each resample of the patients."""
        return self.resample(sorted(self.explanations.probabilities.index))

    def resample(self, image_ids: list[str]) -> pd.DataFrame:
        """`study_weights` of some of the cohort's studies, seeded alike in every notebook."""
        bootstrap = self.params.bootstrap
        return study_weights(image_ids, bootstrap.resamples, bootstrap.seed, self.cohort.studies["patient_id"])

    @property
    def images(self) -> str:
        """What the test images are called in a sentence."""
        return "rendered test radiographs" if self.cohort.rendered else "test radiographs"

    def path(self, *parts: str) -> Path:
        """Path below the run's folder; its parent is made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def stored_tables(self, *names: str) -> dict[str, pd.DataFrame]:
        """Tables that earlier notebooks of the run saved, by name; one that is absent is left out."""
        own = self.folder.parent if RUN_ID not in os.environ else self.folder
        places = {name: [folder / "tables" / f"{name}.csv" for folder in (self.folder, own)] for name in names}
        found = {name: next(filter(Path.exists, paths), None) for name, paths in places.items()}
        return {name: read_stored(path).drop(columns="images", errors="ignore") for name, path in found.items() if path}

    def save_table(
        self, name: str, table: pd.DataFrame, caption: str, provenance: Provenance | None = None
    ) -> pd.DataFrame:
        """Write tables/<name>.csv and its provenance beside it; display the caption and the file's name.

        Args:
            name: e.g. "table_03".
            table: its index is written unless it is a plain range.
            caption: what the table shows.
            provenance: the data behind it; the run's cohort when None. A table from rendered images gets a column that
                says so.

        Returns:
            The table as written, for display below the caption.
        """
        provenance = self.cohort.provenance if provenance is None else provenance
        if provenance.rendered:
            table = table.assign(images="rendered")
        path = self.path("tables", f"{name}.csv")
        write_table(path, table)
        self._save_provenance(path, caption, provenance)
        display(Markdown(f"{caption} (`tables/{name}.csv`)"))  # also where the cell shows no table
        return table

    def save_tables(self, tables: dict[str, tuple[pd.DataFrame, str]], provenance: Provenance | None = None) -> None:
        """`save_table` of several: name -> the table and its caption."""
        for name, (table, caption) in tables.items():
            self.save_table(name, table, caption, provenance)

    def save_figure(self, name: str, figure: Figure, caption: str, provenance: Provenance | None = None) -> None:
        """Write figures/<name>.png (200 dpi), .pdf if wanted, and their provenance; display it and its caption below.

        Args:
            name: e.g. "figure_22".
            figure: closed afterwards; rendered images are named below it.
            caption: what is seen.
            provenance: the data behind it; the run's cohort when None.
        """
        provenance = self.cohort.provenance if provenance is None else provenance
        path = self.path("figures", f"{name}.png")
        undrawn = {} if figure.axes else {"sentence": figure.texts[0].get_text()}
        missing = write_figure(path, figure, f"cxr-explained, run {self.id}", provenance.rendered, self.formats)
        if missing:
            caption += f" (Shown as boxes, since no installed font has them: {missing})"
        self._save_provenance(path, caption, provenance, **undrawn)
        display(Image(filename=path, width=DISPLAY_WIDTH, alt=caption), Markdown(caption))

    def say(self, *sentences: str) -> None:
        """Print sentences, each on lines of its own that end between words."""
        for one in sentences:
            print(textwrap.fill(one, LINE_WIDTH, subsequent_indent="    "))

    def save_maps(self, method: str, maps: torch.Tensor, image_ids: list[str]) -> Explanations:
        """Write another method's maps of some test studies to maps/test-METHOD.npz, where the browser finds them.

        Args:
            method: e.g. "SmoothGrad 0.1".
            maps: raw, float32 (studies, classes, rows, columns).
            image_ids: the studies of these maps.

        Returns:
            The maps with the studies' probabilities.
        """
        explanations = self.explanations.with_maps(maps, image_ids)
        save_explanations(explanations, self.path("maps", f"test-{method}.npz"))
        return explanations

    def _require_data(self) -> None:
        """Refuse a notebook that is opened before notebook 01 has run.

        Raises:
            Missing: in one line, what to run, or which run to take.
        """
        if RUN_ID not in os.environ and not (self.folder / "data" / "cohort.json").exists():
            run = self.folder.parent
            begin = f"{from_root(run)} holds no data yet; run notebook 01_data first, or"
            others = sorted(run.parent.glob("*/data/cohort.json"), key=lambda path: path.stat().st_mtime)
            if others:
                last = from_root(others[-1].parent.parent)
                raise Missing(f'{begin} take the last run: run_folder = "{last}" in the parameters cell')
            raise Missing(f"{begin} in a terminal: python run_all.py smoke --only 01")

    @cached_property
    def _stored_model(self) -> tuple[nn.Module, Checkpoint]:
        return load_checkpoint(checkpoint_path(self.folder / "models", self.cohort.experiment), self.device)

    @staticmethod
    def _parameters_of(run_folder: Path) -> dict[str, dict]:
        """All sections as the notebooks of a run used them."""
        path = run_folder / "params.json"
        return read_json(path)["parameters"] if path.exists() else load_params(BY_HAND).model_dump()

    @cached_property
    def _code(self) -> str:
        """Fingerprint of the modules that the notebook imports, directly or not, when it saved first."""
        notebook = NOTEBOOKS / f"{self.notebook}.ipynb"
        return fingerprint(code_fingerprints(imported_names(code_of(notebook)) if notebook.exists() else [__name__]))

    def _save_provenance(self, artefact: Path, caption: str, provenance: Provenance, **more: str) -> None:
        sections = {name: section.model_dump() for name, section in vars(self.params).items()}
        write_json(
            artefact.with_suffix(".json"),
            {
                "caption": caption,
                "notebook": self.notebook,
                "parameters": effective(sections),
                "data": vars(provenance),
                "code": self._code,
                "run": self.id,
                **more,
            },
        )


def _said_by_hand(run_folder: Path) -> str:
    """Where a notebook that is run by hand saves, and which of its inputs were made by hand too."""
    own = made_by_hand(run_folder, *PARTS)
    read = f"It reads {' and '.join(own)} that were made there; delete that folder to begin again." if own else ""
    saves = f"Run by hand: this notebook saves in `{from_root(run_folder)}/{INTERACTIVE}`."
    return " ".join(filter(None, [saves, "The run itself stays as it is.", read]))


def _said_of_time(run_folder: Path, notebook: str) -> str:
    """How long all cells took when the run executed them last; less than before where it found their scores."""
    path = run_folder / "manifest.json"
    done = read_json(path)["notebooks"].get(notebook, {}) if path.exists() else {}
    return f" In the run all its cells took {done['seconds']:.0f} s." if done.get("seconds") else ""


def _own_values(notebook: str, values: dict[str, dict]) -> str:
    """The run's values of the parameters that a notebook's parameters cell shows, where the cell shows another one."""
    path, own = NOTEBOOKS / f"{notebook}.ipynb", []
    for section, shown in shown_parameters(path).items() if path.exists() else ():
        for name, value in shown.items():
            given = values.get(section, {}).get(name, value)
            if given != value:
                own.append(f"`{section}.{name}`: {', '.join(given) if isinstance(given, dict) else given}")
    return f"\n\nThis run's values, where the cell above shows others: {'; '.join(own)}." if own else ""
