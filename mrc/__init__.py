"""Reading comprehension: retrieval, reading, calibration, metrics. Knows no database and no rounds."""

import os

# oneDNN, with which torch multiplies on a CPU, keeps a compiled kernel for each shape of matrices, 1,024 of them unless
# told otherwise. Texts differ in length, so memory would grow for long; sorted batches need few shapes at a time.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
