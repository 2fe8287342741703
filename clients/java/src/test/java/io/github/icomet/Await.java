package io.github.icomet;

import java.util.concurrent.Callable;

/** Waits for what other processes do. */
final class Await {
    static final long DEADLINE_SECONDS = 60;

    private Await() {}

    static void until(String what, Callable<Boolean> holds) throws Exception {
        long start = System.nanoTime();
        while (!holds.call()) {
            if (System.nanoTime() - start > DEADLINE_SECONDS * 1_000_000_000L) {
                throw new AssertionError("in vain waited until " + what);
            }
            Thread.sleep(20);
        }
    }
}
