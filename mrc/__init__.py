"""Reading comprehension: retrieval, reading, calibration, metrics. Knows no database and no rounds."""
