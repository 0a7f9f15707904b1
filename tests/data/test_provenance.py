"""What a table or figure says of the data behind it."""

import pytest

from cxrlib.data.provenance import Provenance, transfer_provenance


@pytest.mark.parametrize(("home_rendered", "abroad_rendered"), [(True, False), (False, True), (False, False)])
def test_a_model_tested_elsewhere_names_both_data_sets(home_rendered, abroad_rendered):
    home = Provenance("nih", "ChestX-ray14", home_rendered, "111", "split at home")
    abroad = Provenance("vinbigdata", "VinBigData", abroad_rendered, "222", "split abroad")
    both = transfer_provenance(home, abroad)
    assert both.description == "ChestX-ray14; tested on: VinBigData"
    assert both.rendered is (home_rendered or abroad_rendered)
    assert (both.source, both.data, both.split) == ("vinbigdata", "222", "split abroad")
