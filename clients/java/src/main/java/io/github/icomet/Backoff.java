package io.github.icomet;

import java.util.Random;

/** How long to wait before coming back: a random time, so that the clients of a server do not all come in one moment. */
final class Backoff {
    static final long MIN_MILLIS = 500;
    static final long MAX_MILLIS = 20_000;

    private final Random random;
    private int failures;

    Backoff(Random random) {
        this.random = random;
    }

    /** Between half a second and a bound of 2 seconds, which doubles with each failure up to 20 seconds. */
    long nextMillis() {
        long bound = Math.min(MAX_MILLIS, 2000L << Math.min(failures, 10));
        failures++;
        return MIN_MILLIS + (long) (random.nextDouble() * (bound - MIN_MILLIS));
    }

    void reset() {
        failures = 0;
    }
}
