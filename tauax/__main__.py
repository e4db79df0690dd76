"""`python -m tauax`."""

from tauax.cli import main

raise SystemExit(main())
