"""``python -m secchi`` is the ``secchi`` command."""

from secchi.cli import main

if __name__ == "__main__":
    main()
