"""What holds for all tests."""

import flambeau.runtime.plan  # noqa: F401  with the compiler loaded, what comes again is compiled
