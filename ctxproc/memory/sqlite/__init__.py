"""The parts of the store in one SQLite file: what is in `ctxproc.memory.store` below its surface."""
