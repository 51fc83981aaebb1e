# SPDX-License-Identifier: Apache-2.0
"""The highest rate that passes, on a ladder of rates: a bisection first, then a step up or down at a time."""


class Staircase:
    """rates are low * step^k, k in 0..top. highest(probe) calls probe(rate) -> result, true if it passed, and returns
    the result at the highest rung that passed this time. The first call bisects; later ones begin where it ended: a pass
    lets the next call try one rung more, so a rate that drifts is followed and each call needs a probe or two."""

    def __init__(self, low, high, step=1.1):
        self.rates = [low]
        while self.rates[-1] * step < high:
            self.rates.append(self.rates[-1] * step)
        self.rung = None

    def highest(self, probe):
        return self._bisect(probe) if self.rung is None else self._step(probe)

    def _bisect(self, probe):
        below, above, best = -1, len(self.rates), None
        while above - below > 1:
            middle = (below + above) // 2
            result = probe(self.rates[middle])
            if result:
                below, best = middle, result
            else:
                above = middle
        if best is None:
            raise RuntimeError(f"nothing passed, not even {self.rates[0]:.0f}")
        self.rung = below
        return best

    def _step(self, probe):
        rung = min(self.rung + 1, len(self.rates) - 1)
        while rung >= 0:
            result = probe(self.rates[rung])
            if result:
                self.rung = rung
                return result
            rung -= 1
        raise RuntimeError(f"nothing passes any more, not even {self.rates[0]:.0f}")
