"""``python -m lckd`` is the command ``lckd``."""

from .cli import main

if __name__ == "__main__":
    main()
