"""The built-in dataset: three drawn surfaces, from easy defects (A) to the hard ones (C).

=============  ======================================  ==========================================
domain         normal surface                          defects
=============  ======================================  ==========================================
``domain_a``   grained leather                         blobs (stains) and scratches
``domain_b``   painted, speckled sheet                 vertical and oblique streaks
``domain_c``   brushed metal or woven cloth, which     faint, broken, horizontal streaks
               has horizontal structure of its own
=============  ======================================  ==========================================

Each image is drawn from (seed, domain, part, index), so a larger set contains the smaller one.
"""

from __future__ import annotations

from model.data.stripes.domains import DOMAINS
from model.data.stripes.write import ensure_stripes, write_stripes

__all__ = ["DOMAINS", "ensure_stripes", "write_stripes"]
