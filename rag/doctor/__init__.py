"""Whether an installation holds: one question after the other, each answered with what to do next."""
