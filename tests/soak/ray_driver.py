"""`scale ray` with workers without a model: `python -m tests.soak.ray_driver scale ray FOLDER --out DIR ...`."""

from __future__ import annotations

import sys

from xraygpt_edge.cli import main
from xraygpt_edge.scale import pool

if __name__ == "__main__":
    pool.COMMAND = (sys.executable, "-m", "tests.soak.ray_pool")
    main()
