"""The wiring diagram of the nematode *Caenorhabditis elegans*."""

import numpy as np

from tauax.networks.base import Network, load

ARCHIVE = "celegans_varshney2011.npz"
SOURCE = (
    "Varshney LR, Chen BL, Paniagua E, Hall DH, Chklovskii DB (2011) Structural properties of the "
    "C. elegans neuronal network, PLoS Comput Biol 7:e1001066, doi:10.1371/journal.pcbi.1001066; "
    "read from the package cect (OpenWorm, MIT)"
)
LICENCE = "CC BY 4.0"


def celegans(gap_junctions: bool = True, chemical: bool = True) -> Network:
    """Neurons of *C. elegans* (hermaphrodite, without the pharynx), coupled by their contacts.

    ``weights[i, j] = gap[i, j] + synapses[j, i]``, where ``gap`` counts the gap junctions of a
    pair (symmetric) and ``synapses[j, i]`` the chemical synapses from neuron ``j`` to neuron ``i``:
    row i receives from column j.

    The three neurons RIBL, RIBR and VA8 have a gap junction with themselves, on the diagonal. The
    neuron VC6 has neither kind of contact with another neuron, so it runs free.

    Args:
        gap_junctions: whether to count gap junctions.
        chemical: whether to count chemical synapses.

    Returns:
        Network of 280 neurons; ``weights`` ``[280, 280]`` in contacts, ``labels`` neuron names.

    Raises:
        ValueError: if both kinds of contact are left out.

    Source:
        Varshney et al. (2011), PLoS Comput Biol 7:e1001066.
    """
    if not (gap_junctions or chemical):
        raise ValueError("no contacts to count; set gap_junctions=True or chemical=True")
    gap, synapses, neuron = load(ARCHIVE, ("gap_junctions", "chemical_synapses", "neuron"))
    kinds = ((gap, gap_junctions), (synapses.T, chemical))
    weights = np.sum([contacts for contacts, wanted in kinds if wanted], axis=0)
    return Network("celegans", weights, tuple(neuron.tolist()), SOURCE, LICENCE)
