"""Which source frames make output frame n, in exact arithmetic. Knows neither torch nor VapourSynth."""
