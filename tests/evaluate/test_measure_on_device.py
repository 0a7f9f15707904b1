"""Every measure that runs a network, on a device and in other batches, beside the processor."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import SmallNet, annotation_rows, small_cohort

from cxrlib.evaluate.ceval import least_change
from cxrlib.evaluate.faithfulness import CurveSettings, perturbation_curves
from cxrlib.evaluate.fidelity import fidelity_cases
from cxrlib.evaluate.infidelity import falls_by_removal, removed_squares
from cxrlib.evaluate.invariance import Shifted, whole_range
from cxrlib.evaluate.perturbation import perturb, replaced_versions
from cxrlib.evaluate.randomisation import layers_in_order, random_weights, stops
from cxrlib.evaluate.removal import CONTROLS, control_map, taken_out, top_of_each
from cxrlib.evaluate.sanity import explain_cases, places_of, similarity_over_layers
from cxrlib.evaluate.sensitivity import noisy, relative_change
from cxrlib.evaluate.similarity import similarities
from cxrlib.explain import explain
from cxrlib.explain.explanations import Explanations
from cxrlib.model.networks import normalise

SIZE, CLASSES, IDS = 24, ["A", "B", "C"], ["a", "b", "c"]
GREY = torch.randint(0, 256, (3, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
MAPS = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(1))
PROBABILITIES = torch.tensor([[0.9, 0.1, 0.8], [0.2, 0.7, 0.6], [0.9, 0.9, 0.1]])
CASES = pd.DataFrame({"image_id": ["a", "b", "c"], "class_name": ["A", "B", "A"]})
STORE = Explanations(pd.DataFrame(PROBABILITIES.numpy(), pd.Index(IDS, name="image_id"), CLASSES), MAPS, SIZE, "")


def numbers(table: pd.DataFrame) -> np.ndarray:
    return table.select_dtypes("number").to_numpy(float)


def removal(network, device, batch):
    return falls_by_removal(network, GREY, removed_squares(8, SIZE, seed=1), batch)


def undoing(network, device, batch):
    allowed = torch.ones(3, SIZE, SIZE, dtype=torch.bool, device=device)
    classes = torch.tensor([0, 1, 2], device=device)
    return least_change(network, normalise(GREY).to(device), classes, allowed, 0.1, batch)


def perturbed(network, device, batch):
    return numbers(perturb(network, GREY, MAPS, PROBABILITIES, 0.5, [0.1, 0.5], [5], batch))


def curves(network, device, batch):
    labels = pd.DataFrame(1, IDS, CLASSES)
    cohort = small_cohort(CLASSES, annotation_rows(("a", "A", "R1", 2, 2, 12, 12)), labels=labels, size=SIZE)
    how = CurveSettings(threshold=0.5, shares=[0.1, 0.5], kernels=[5], batch_size=batch, seed=1)
    return numbers(perturbation_curves(network, GREY, cohort, {"CAM": STORE}, {"CAM": STORE}, None, how))


def fidelity(network, device, batch):
    return numbers(fidelity_cases(network, GREY, {"CAM": STORE}, CASES, 0.5, 8, 1, batch))


def nothing_predicted(network, device, batch):
    found = fidelity_cases(network, GREY, {"CAM": STORE}, CASES, 0.99, 8, 1, batch)
    assert set(found["measure"]) == {"infidelity"}
    return numbers(found)


def cascade(network, device, batch):
    images, places = normalise(GREY).to(device), places_of(CASES, IDS, CLASSES)
    order = layers_in_order(network, images)

    def gradient(network, images, classes):
        return explain(network, images, "gradient", classes)

    def maps_of(changed):
        return explain_cases(gradient, changed, images, places, at_once=False)

    weights = random_weights(network, seed=3)
    rows, _ = similarity_over_layers(maps_of, network, weights, order, stops(order, 2), maps_of(network), SIZE)
    return numbers(pd.DataFrame(rows))


def shifted(network, device, batch):
    shift = whole_range().to(device)
    return explain(Shifted(network, shift), normalise(GREY).to(device) + shift, "input_x_gradient", batch_size=batch)


def sensitivity(network, device, batch):
    images = normalise(GREY).to(device)
    before = explain(network, images, "gradient", [1])
    copies = noisy(images, 0.05, 2, seed=3)
    return torch.stack([relative_change(before[:, 0], explain(network, one, "gradient", [1])[:, 0]) for one in copies])


def likeness(network, device, batch):
    found = similarities(MAPS[:, 0].to(device), MAPS[:, 1].to(device), SIZE)
    return torch.stack([one.cpu().double() for one in found.values()])


MEASURES = [removal, undoing, perturbed, curves, fidelity, nothing_predicted, cascade, shifted, sensitivity, likeness]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda one: one.__name__)
def test_a_measure_gives_the_same_numbers_on_a_device(measure, device):
    expected, found = (
        torch.as_tensor(measure(SmallNet().eval().to(where), where, batch)).double().cpu()
        for where, batch in [(torch.device("cpu"), 3), (device, 2)]
    )
    assert found.numel() and expected.nan_to_num().abs().max() > 0
    scale = float(expected.nan_to_num().abs().max())
    torch.testing.assert_close(found, expected, atol=1e-4 * scale, rtol=1e-3, equal_nan=True)


def test_pixels_are_taken_out_alike_on_a_device(device):
    for mode_of_map in CONTROLS:
        maps = [control_map(mode_of_map, GREY, torch.Generator().manual_seed(2)) for _ in range(2)]
        masks = [top_of_each(one, 0.3, torch.Generator().manual_seed(4)) for one in maps]
        assert torch.equal(*masks)
    there = taken_out(GREY.to(device), masks[0].to(device), "remove")
    assert torch.equal(there.cpu(), taken_out(GREY, masks[0], "remove"))
    top = MAPS[0, 0].repeat_interleave(4, 0).repeat_interleave(4, 1) > 0.5
    assert torch.equal(
        torch.stack([*replaced_versions(GREY[0].to(device), top.to(device), [5]).values()]).cpu(),
        torch.stack([*replaced_versions(GREY[0], top, [5]).values()]),
    )
