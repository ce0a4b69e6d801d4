"""``python -m ctxproc`` is the program ``ctxproc``."""

from ctxproc.cli.main import main

if __name__ == "__main__":
    main()
